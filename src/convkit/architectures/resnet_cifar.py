"""The CIFAR ResNets (He, Zhang, Ren, Sun 2016a, "Deep residual learning for image recognition", §4.2; 2016b)."""

from functools import partial
from typing import get_args

from torch import nn

from convkit.architectures.residual_unit import Convolution, ResidualNet, Shortcut, Unit, basic, bottleneck, check
from convkit.sizes import output_shape

WIDTHS = (16, 32, 64)


class ResNetCifar(ResidualNet):
    """A 3×3 convolution, three stages of n units at widths 16, 32, 64, global average pooling: 6n+2 or 9n+2 layers.

    Args:
        num_classes: K.
        image_shape: C, H, W; 32×32 in the papers, any size works.
        depth: 6n+2 with basic units (20, 32, 44, 56, 110 and 1202 in the paper), 9n+2 with bottlenecks (164 and 1001 in
            2016b).
        bottleneck: units of 1×1, 3×3, 1×1 to four times the width, the stride in the first.
        residual: ``false`` leaves out every shortcut: the plain net of the paper's comparison.
        shortcut: where maps or size change, ``identity`` pads with zeros (option A of §3.3, the paper's here) and
            ``projection`` is a 1×1 convolution (B, in the published code of 164 and 1001 layers);
            ``projection_everywhere`` makes all of them convolutions (C).
        unit: the order of batch norm, ReLU and addition (2016b, Fig. 4). With a pre-activation the first one follows
            conv1, and one more the last unit (2016b, appendix).
    """

    published_for = (10, (3, 32, 32))

    def __init__(
        self,
        num_classes: int,
        image_shape: tuple[int, int, int],
        depth: int = 20,
        bottleneck: bool = False,
        residual: bool = True,
        shortcut: Shortcut = "identity",
        unit: Unit = "original",
    ) -> None:
        check("resnet_cifar", "shortcut", shortcut, get_args(Shortcut))
        check("resnet_cifar", "unit", unit, get_args(Unit))
        counts = [_units_of_a_stage(depth, bottleneck)] * len(WIDTHS)
        convolutions = _BOTTLENECK if bottleneck else basic
        conv1, kind = Convolution(image_shape[0], WIDTHS[0], 3), shortcut if residual else None
        super().__init__(conv1, nn.Identity(), counts, WIDTHS, convolutions, unit, kind, num_classes)
        output_shape(self, image_shape, "resnet_cifar")

    def rename_key(self, key: str) -> str:
        # The published CIFAR weights of Y. Idelbayev call the classifier "linear", and a projection "shortcut".
        if key.startswith("linear."):
            return "fc." + key.removeprefix("linear.")
        return key.replace(".shortcut.", ".downsample.")


_BOTTLENECK = partial(bottleneck, stride_at="1x1")


def _units_of_a_stage(depth: int, bottleneck: bool) -> int:
    """n, of ``depth`` = 6n+2, or 9n+2 with bottlenecks."""
    step, other, papers = (9, 6, "164, 1001") if bottleneck else (6, 9, "20, 32, 44, 56, 110, 1202")
    count, rest = divmod(depth - 2, step)
    if count < 1 or rest:
        nearest = step * max(1, round((depth - 2) / step)) + 2
        fits_other = depth > other and not (depth - 2) % other
        switch = f", or bottleneck: {str(not bottleneck).lower()} for {other}n+2" if fits_other else ""
        units = "bottlenecks" if bottleneck else "basic units"
        raise ValueError(
            f"resnet_cifar: with {units} depth is {step}n+2 ({papers} in the paper), not {depth}; try {nearest}{switch}"
        )
    return count
