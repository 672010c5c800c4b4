"""ResNeXt (Xie, Girshick, Dollár, Tu, He 2017, "Aggregated residual transformations for deep neural networks")."""

from functools import partial
from typing import Literal

from convkit.architectures.residual_unit import ResidualNet, bottleneck, check
from convkit.architectures.resnet import DEPTHS, WIDTHS, first_layers
from convkit.sizes import output_shape


class ResNeXt(ResidualNet):
    """A ResNet whose bottlenecks split their 3×3 convolution into groups, the paper's paths (§3.3, Fig. 3c).

    ``cardinality`` × ``width`` names a net in the paper: 32×4d, 64×4d (with depth 101), and 1×64d, which is the ResNet
    of that depth. Its Table 2 has 2×40d, 4×24d and 8×14d at the same cost. torchvision's names.

    Args:
        num_classes: K.
        image_shape: C, H, W; 224×224 in the paper, any size works.
        depth: 50 or 101.
        cardinality: paths of a unit, C.
        width: maps of a path in conv2, d; doubled in each later stage.
        residual: ``false`` leaves out every shortcut, as in the paper's comparison (§5.1).
    """

    def __init__(
        self,
        num_classes: int,
        image_shape: tuple[int, int, int],
        depth: Literal[50, 101] = 50,
        cardinality: int = 32,
        width: int = 4,
        residual: bool = True,
    ) -> None:
        check("resnext", "depth", depth, (50, 101))
        for option, value in (("cardinality", cardinality), ("width", width)):
            if value < 1:
                raise ValueError(f"resnext: {option} is 1 or more, not {value}; the paper's usual net is 32×4d")
        convolutions = partial(bottleneck, inner=cardinality * width, cardinality=cardinality)
        conv1, maxpool = first_layers(image_shape[0])
        shortcut = "projection" if residual else None
        super().__init__(conv1, maxpool, DEPTHS[depth], WIDTHS, convolutions, "original", shortcut, num_classes)
        output_shape(self, image_shape, "resnext")
