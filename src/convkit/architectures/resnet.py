"""ResNet (He, Zhang, Ren, Sun 2016a, "Deep residual learning for image recognition") with the units of 2016b."""

from collections.abc import Mapping
from functools import partial
from typing import Literal, get_args

from torch import nn

from convkit.architectures.residual_unit import Convolution, ResidualNet, Shortcut, Unit, basic, bottleneck, check
from convkit.sizes import output_shape

Stem = Literal["imagenet", "cifar"]
StrideAt = Literal["3x3", "1x1"]
WIDTHS = (64, 128, 256, 512)
# Table 1: units of a stage, conv2 to conv5. Basic units up to 34 layers, bottlenecks from 50 on.
DEPTHS: Mapping[int, tuple[int, int, int, int]] = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}


class ResNet(ResidualNet):
    """A 7×7 convolution, max pooling, four stages of residual units, global average pooling; torchvision's names.

    Args:
        num_classes: K.
        image_shape: C, H, W; 224×224 in the paper, any size works.
        depth: 18, 34, 50, 101 or 152.
        residual: ``false`` leaves out every shortcut: the plain net of the paper's comparison.
        shortcut: where maps or size change, ``identity`` pads with zeros (option A of §3.3) and ``projection`` is a 1×1
            convolution (B, as in torchvision); ``projection_everywhere`` makes all of them convolutions (C).
        unit: the order of batch norm, ReLU and addition (2016b, Fig. 4). With a pre-activation the first one follows
            conv1, and one more the last unit (2016b, appendix).
        stride_at: the convolution of a bottleneck that has the stride: ``3x3`` as in torchvision, ``1x1``, the first,
            as in the paper.
        stem: ``cifar`` begins with a 3×3 convolution at full size and no pooling, for small images.
    """

    def __init__(
        self,
        num_classes: int,
        image_shape: tuple[int, int, int],
        depth: Literal[18, 34, 50, 101, 152] = 50,
        residual: bool = True,
        shortcut: Shortcut = "projection",
        unit: Unit = "original",
        stride_at: StrideAt = "3x3",
        stem: Stem = "imagenet",
    ) -> None:
        check("resnet", "depth", depth, DEPTHS)
        check("resnet", "shortcut", shortcut, get_args(Shortcut))
        check("resnet", "unit", unit, get_args(Unit))
        check("resnet", "stride_at", stride_at, get_args(StrideAt))
        check("resnet", "stem", stem, get_args(Stem))
        convolutions = basic if depth < 50 else partial(bottleneck, stride_at=stride_at)
        counts, kind = DEPTHS[depth], shortcut if residual else None
        super().__init__(*first_layers(image_shape[0], stem), counts, WIDTHS, convolutions, unit, kind, num_classes)
        output_shape(self, image_shape, "resnet")


def first_layers(channels: int, stem: Stem = "imagenet") -> tuple[Convolution, nn.Module]:
    """The first convolution and the pooling after it."""
    if stem == "cifar":
        return Convolution(channels, WIDTHS[0], 3), nn.Identity()
    return Convolution(channels, WIDTHS[0], 7, stride=2), nn.MaxPool2d(3, stride=2, padding=1)
