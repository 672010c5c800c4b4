"""The CIFAR ResNets (He, Zhang, Ren, Sun 2016, "Deep residual learning for image recognition", §4.2)."""

from collections.abc import Mapping
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the field's own name

from convkit.convnet import ConvNet

WIDTHS = (16, 32, 64)
Shortcut = Literal["identity", "projection"]


class ResNetCifar(ConvNet):
    """A 3×3 convolution, three stages of n basic units at 16, 32, 64 maps, global average pooling: 6n+2 layers.

    Args:
        num_classes: K.
        image_shape: C, H, W; 32×32 in the paper, 4×4 at least.
        depth: 20, 32, 44, 56 and 110 in the paper, or any other 6n+2.
        shortcut: ``identity`` pads new maps with zeros (option A, no parameters); ``projection`` uses a 1×1
            convolution where the size changes (option B).
        residual: ``false`` leaves out every shortcut: the plain net of the paper's comparison.
    """

    stages: Mapping[str, str] = {
        "conv1": "bn1",
        "conv2": "layer1",
        "conv3": "layer2",
        "conv4": "layer3",
        "head": "fc",
    }

    def __init__(
        self,
        num_classes: int,
        image_shape: tuple[int, int, int],
        depth: int = 20,
        shortcut: Shortcut = "identity",
        residual: bool = True,
    ) -> None:
        super().__init__()
        if depth < 8 or (depth - 2) % 6:
            nearest = max(8, 6 * round((depth - 2) / 6) + 2)
            raise ValueError(
                f"resnet_cifar: depth is 6n+2 (20, 32, 44, 56, 110 in the paper), not {depth}; try {nearest}"
            )
        channels, height, width = image_shape
        if min(height, width) < 4:
            raise ValueError(f"resnet_cifar: conv4 would see nothing of a {height}×{width} image; 4×4 is the smallest")
        self.conv1 = nn.Conv2d(channels, WIDTHS[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTHS[0])
        self.relu = nn.ReLU(inplace=True)
        count, around = (depth - 2) // 6, shortcut if residual else None
        self.layer1 = _stage(WIDTHS[0], WIDTHS[0], 1, count, around)
        self.layer2 = _stage(WIDTHS[0], WIDTHS[1], 2, count, around)
        self.layer3 = _stage(WIDTHS[1], WIDTHS[2], 2, count, around)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(WIDTHS[2], num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")  # §4.2 refers to He 2015

    def forward(self, images: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(images)))
        x = self.layer3(self.layer2(self.layer1(x)))
        logits: Tensor = self.fc(self.avgpool(x).flatten(1))
        return logits

    def rename_key(self, key: str) -> str:
        # The published CIFAR weights of Y. Idelbayev call the classifier "linear".
        return "fc." + key.removeprefix("linear.") if key.startswith("linear.") else key


def _stage(maps_in: int, maps: int, stride: int, count: int, shortcut: Shortcut | None) -> nn.Sequential:
    """``count`` units; the first one changes maps and size."""
    units = [BasicUnit(maps_in, maps, stride, shortcut)]
    units += [BasicUnit(maps, maps, 1, shortcut) for _ in range(count - 1)]
    return nn.Sequential(*units)


class BasicUnit(nn.Module):
    """Two 3×3 convolutions with batch norm, and the shortcut around them (He et al. 2016, Fig. 2).

    ``shortcut=None`` leaves the plain net's two layers.
    """

    def __init__(self, maps_in: int, maps: int, stride: int, shortcut: Shortcut | None) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(maps_in, maps, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(maps)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(maps, maps, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(maps)
        changes = stride != 1 or maps_in != maps
        self.shortcut: nn.Module | None
        if shortcut is None:
            self.shortcut = None
        elif not changes:
            self.shortcut = nn.Identity()
        elif shortcut == "identity":
            self.shortcut = PaddedIdentity(maps - maps_in, stride)
        else:
            self.shortcut = nn.Sequential(nn.Conv2d(maps_in, maps, 1, stride, bias=False), nn.BatchNorm2d(maps))

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        if self.shortcut is not None:
            y = y + self.shortcut(x)
        out: Tensor = self.relu(y)
        return out


class PaddedIdentity(nn.Module):
    """Every ``stride``-th pixel, with zero maps added on both sides: option A, no parameters (§3.3)."""

    def __init__(self, maps_added: int, stride: int) -> None:
        super().__init__()
        self.maps_added, self.stride = maps_added, stride

    def forward(self, x: Tensor) -> Tensor:
        before = self.maps_added // 2
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, before, self.maps_added - before))

    def extra_repr(self) -> str:
        return f"maps_added={self.maps_added}, stride={self.stride}"
