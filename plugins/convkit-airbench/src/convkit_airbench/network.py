"""The network of Jordan 2024, "94% on CIFAR-10 in 3.29 seconds on a single GPU" (arXiv 2404.00498), §3.1 to 3.3."""

import torch
from torch import Tensor, nn

from convkit import ConvNet
from convkit.sizes import output_shape
from convkit_airbench.whitening import WhiteningConv, dirac, out_features

WIDTHS = [64, 256, 256]
STATISTICS = 0.4  # what a batch counts in batch norm's running statistics: in a run of seconds the past soon is wrong
TINY = 1e-12  # added to variances


class Airbench(ConvNet):
    """A whitening convolution, three blocks of two 3×3 convolutions, max pooling, a linear layer; GELU throughout.

    Made for 32×32; any size from 9 on works, as the last pooling takes what there is.

    Args:
        num_classes: K.
        image_shape: C, H, W.
        widths: maps of the three blocks.
        scale: what the logits are multiplied by.
    """

    published_for = (10, (3, 32, 32))
    stages = {
        "whiten": "activation",
        "block1": "block1.activation2",
        "block2": "block2.activation2",
        "block3": "block3.activation2",
        "head": "head",
    }

    def __init__(
        self,
        num_classes: int,
        image_shape: tuple[int, int, int],
        widths: list[int] = WIDTHS,
        scale: float = 1 / 9,
    ) -> None:
        super().__init__()
        if len(widths) != 3 or min(widths) < 1:
            raise ValueError(f"airbench: widths are the maps of three blocks, not {widths}")
        if not 0 < scale < float("inf"):
            raise ValueError(f"airbench: scale multiplies the logits and must be above 0, not {scale}")
        self.whiten = WhiteningConv(image_shape[0])
        self.activation = nn.GELU()
        self.block1 = Block(out_features(image_shape[0]), widths[0])
        self.block2 = Block(widths[0], widths[1])
        self.block3 = Block(widths[1], widths[2])
        self.pool = nn.AdaptiveMaxPool2d(1)
        self.head = ScaledLinear(widths[2], num_classes, scale)
        output_shape(self, image_shape, "airbench")

    def forward(self, images: Tensor) -> Tensor:
        x = self.activation(self.whiten(images))
        x = self.block3(self.block2(self.block1(x)))
        logits: Tensor = self.head(self.pool(x).flatten(1))
        return logits


class Block(nn.Module):
    """Convolution, pooling, norm, GELU; then convolution, norm, GELU."""

    def __init__(self, maps_in: int, maps: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(maps_in, maps, 3, padding=1, bias=False)
        self.pool = nn.MaxPool2d(2)
        self.norm1 = ShiftNorm(maps)
        self.activation1 = nn.GELU()
        self.conv2 = nn.Conv2d(maps, maps, 3, padding=1, bias=False)
        self.norm2 = ShiftNorm(maps)
        self.activation2 = nn.GELU()
        dirac(self.conv1)
        dirac(self.conv2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.activation1(self.norm1(self.pool(self.conv1(x))))
        out: Tensor = self.activation2(self.norm2(self.conv2(x)))
        return out


class ShiftNorm(nn.BatchNorm2d):
    """Batch norm that learns to shift, not to scale."""

    def __init__(self, maps: int) -> None:
        super().__init__(maps, eps=TINY, momentum=STATISTICS)
        del self.weight
        # A buffer of ones in its place: without any, the fast kernels of a GPU are not used.
        self.register_buffer("weight", torch.ones(maps), persistent=False)

    def reset_parameters(self) -> None:
        self.reset_running_stats()
        nn.init.zeros_(self.bias)
        nn.init.ones_(self.weight)


class ScaledLinear(nn.Linear):
    """A linear layer without a bias, its outputs times a number."""

    def __init__(self, features: int, num_classes: int, scale: float) -> None:
        super().__init__(features, num_classes, bias=False)
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * self.scale
