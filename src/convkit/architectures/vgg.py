"""VGG (Simonyan & Zisserman 2015, "Very deep convolutional networks for large-scale image recognition", Table 1)."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

from torch import Tensor, nn

from convkit.convnet import ConvNet
from convkit.errors import did_you_mean
from convkit.initial import Uninitialised
from convkit.sizes import output_shape

Variant = Literal["A", "A-LRN", "B", "C", "D", "E"]
_MAPS = (64, 128, 256, 512, 512)
_POOLED = 7  # the side that the last pooling leaves of 224 pixels


class _Column(NamedTuple):
    convolutions: tuple[int, int, int, int, int]  # in each block; a max-pooling ends it
    last_kernel: int = 3  # of the third convolution of a block
    local_response_norm: bool = False  # behind the first convolution


# The columns of Table 1; torchvision has A, B, D, E as vgg11, vgg13, vgg16, vgg19.
_VARIANTS = {
    "A": _Column((1, 1, 2, 2, 2)),
    "A-LRN": _Column((1, 1, 2, 2, 2), local_response_norm=True),
    "B": _Column((2, 2, 2, 2, 2)),
    "C": _Column((2, 2, 3, 3, 3), last_kernel=1),
    "D": _Column((2, 2, 3, 3, 3)),
    "E": _Column((2, 2, 4, 4, 4)),
}


class VGG(ConvNet):
    """Blocks of 3×3 convolutions, each ended by a 2×2 pooling, and three dense layers.

    133, 133, 133, 134, 138 and 144 million parameters from A to E (Table 2). Stages are called by block and place,
    ``conv1_1`` … ``conv5_4``, then ``fc6``, ``fc7``, ``head``.

    Args:
        num_classes: K.
        image_shape: C, H, W; 224×224 in the paper, 32×32 at least. The last maps are averaged, or spread, to
            ``pooled_size`` before the dense layers, as torchvision does.
        variant: a column of Table 1; C has 1×1 convolutions, A-LRN one local response normalisation.
        batch_norm: behind every convolution (torchvision's vgg…_bn; not in the paper).
        dropout: probability, behind fc6 and fc7.
        dense_width: neurons of fc6 and fc7, 4096 in the paper; 512 is plenty for small images.
        pooled_size: side of the maps that fc6 sees, 7 in the paper; a 32×32 image leaves 1.

    Raises:
        ValueError: an unknown variant, or an image that is too small.
    """

    stages: Mapping[str, str]

    def __init__(
        self,
        num_classes: int,
        image_shape: tuple[int, int, int],
        variant: Variant = "D",
        batch_norm: bool = False,
        dropout: float = 0.5,
        dense_width: int = 4096,
        pooled_size: int = _POOLED,
    ) -> None:
        super().__init__()
        if variant not in _VARIANTS:
            raise ValueError(f"vgg: unknown variant {variant!r}{did_you_mean(variant, _VARIANTS)}")
        for option, value in (("dense_width", dense_width), ("pooled_size", pooled_size)):
            if value < 1:
                raise ValueError(f"vgg: {option} is a number from 1 on, not {value}")
        with Uninitialised():
            self.features, stages = _features(_VARIANTS[variant], image_shape[0], batch_norm)
            self.avgpool = nn.AdaptiveAvgPool2d(pooled_size)
            self.classifier = nn.Sequential(
                nn.Linear(_MAPS[-1] * pooled_size**2, dense_width),
                nn.ReLU(inplace=True),
                nn.Dropout(dropout),
                nn.Linear(dense_width, dense_width),
                nn.ReLU(inplace=True),
                nn.Dropout(dropout),
                nn.Linear(dense_width, num_classes),
            )
        self.stages = {**stages, "fc6": "classifier.1", "fc7": "classifier.4", "head": "classifier.6"}
        output_shape(self, image_shape, "vgg")
        for module in self.modules():
            _initialise(module)

    def forward(self, images: Tensor) -> Tensor:
        x = self.avgpool(self.features(images))
        logits: Tensor = self.classifier(x.flatten(1))
        return logits


def _features(column: _Column, channels: int, batch_norm: bool) -> tuple[nn.Sequential, dict[str, str]]:
    """The convolutional part under torchvision's numbers, and where each stage's ReLU lies in it."""
    part, stages, maps_in = nn.Sequential(), {}, channels
    for block, (count, maps) in enumerate(zip(column.convolutions, _MAPS, strict=True), start=1):
        for place in range(1, count + 1):
            kernel = column.last_kernel if place == 3 else 3
            part.append(nn.Conv2d(maps_in, maps, kernel, padding=kernel // 2))
            if batch_norm:
                part.append(nn.BatchNorm2d(maps))
            stages[f"conv{block}_{place}"] = f"features.{len(part)}"
            part.append(nn.ReLU(inplace=True))
            maps_in = maps
        part.append(nn.MaxPool2d(2, 2))
    if column.local_response_norm:
        # Of Krizhevsky et al. 2012 (§2.1), whose α multiplies a sum over 5 maps, torch's their mean. In the ReLU's
        # place together with it, so that A-LRN has the numbers of A and takes its weights.
        index = int(stages["conv1_1"].split(".")[1])
        norm = nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)
        part[index] = nn.Sequential(nn.ReLU(inplace=True), norm)
        stages["conv1_1"] += ".0"
    return part, stages


def _initialise(module: nn.Module) -> None:
    """As torchvision; the paper starts the deeper variants from a trained A, and later found that needless (§3.1)."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.01)
    if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
