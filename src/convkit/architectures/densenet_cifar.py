"""The CIFAR DenseNets (Huang, Liu, van der Maaten, Weinberger 2017, "Densely connected convolutional networks")."""

from convkit.architectures.densenet import Convolution, DenselyConnected, check_dropout
from convkit.sizes import output_shape

BLOCKS = 3


class DenseNetCifar(DenselyConnected):
    """A 3×3 convolution, three dense blocks of the same depth, global average pooling (§3, "Implementation details").

    The default is DenseNet-BC (L=100, k=12). ``bottleneck: false`` with ``compression: 1`` is the paper's DenseNet,
    ``compression: 1`` alone its DenseNet-B and ``bottleneck: false`` alone its DenseNet-C.

    Args:
        num_classes: K.
        image_shape: C, H, W; 32×32 in the paper.
        depth: L: 6n+4 with bottlenecks, 3n+4 without.
        growth_rate: k, new maps of a layer.
        bottleneck: a 1×1 convolution before every 3×3.
        compression: θ, the share of the maps that a transition keeps: 0.5 in the paper, or 1, all of them.
        dropout: share of what each convolution but the first puts out: 0.2 in the paper without augmentation (§4.2).
    """

    published_for = (10, (3, 32, 32))

    def __init__(
        self,
        num_classes: int,
        image_shape: tuple[int, int, int],
        depth: int = 100,
        growth_rate: int = 12,
        bottleneck: bool = True,
        compression: float = 0.5,
        dropout: float = 0.0,
    ) -> None:
        blocks = [_layers_of_a_block(depth, bottleneck)] * BLOCKS
        if growth_rate < 1:
            raise ValueError(f"densenet_cifar: growth_rate is 1 or more (12, 24, 40 in the paper), not {growth_rate}")
        if not 0 < compression <= 1:
            raise ValueError(
                f"densenet_cifar: compression is above 0 and at most 1 (0.5 or 1 in the paper), not {compression:g}"
            )
        check_dropout("densenet_cifar", dropout)
        maps = 2 * growth_rate if bottleneck and compression < 1 else 16
        first = {"conv0": Convolution(image_shape[0], maps, 3)}
        super().__init__(first, "conv0", maps, blocks, growth_rate, num_classes, bottleneck, compression, dropout)
        output_shape(self, image_shape, "densenet_cifar")


def _layers_of_a_block(depth: int, bottleneck: bool) -> int:
    """n, of ``depth`` = 3n+4, or 6n+4 with bottlenecks."""
    step = BLOCKS * (2 if bottleneck else 1)
    count, rest = divmod(depth - 4, step)
    if count < 1 or rest:
        nearest = step * max(1, round((depth - 4) / step)) + 4
        which = "bottlenecks" if bottleneck else "bottleneck: false"
        raise ValueError(f"densenet_cifar: with {which} depth is {step}n+4, not {depth}; try {nearest}")
    return count
