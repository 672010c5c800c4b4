"""DeepFace (Taigman, Yang, Ranzato, Wolf 2014, "DeepFace: closing the gap to human-level performance in face
verification", §3): convolutions in front, locally connected layers behind."""

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor, nn

from convkit.convnet import ConvNet
from convkit.initial import Uninitialised
from convkit.locally_connected import LocallyConnected2d

Pair = tuple[int, int]


class _Row(NamedTuple):
    layer: str
    maps: int  # 0: a pooling
    kernel: int
    stride: int
    local: bool = False


_ROWS = (
    _Row("conv1", 32, 11, 1),
    _Row("pool2", 0, 3, 2),
    _Row("conv3", 16, 9, 1),
    _Row("local4", 16, 9, 1, local=True),
    _Row("local5", 16, 7, 2, local=True),
    _Row("local6", 16, 5, 1, local=True),
)


class DeepFace(ConvNet):
    """Two convolutions, three locally connected layers, two dense ones: C1, M2, C3, L4, L5, L6, F7, F8 of Fig. 2.

    152×152×3 pixels become 142, 71, 63, 55, 25 and 21 on a side; 118,923,774 parameters with the paper's 4,030
    people, all but 53,136 of them in the local and dense layers (the paper says "more than 120 million", which its
    own sizes reach from 4,293 people). The paper's normalisation of F7 belongs to comparing faces, not to
    classifying them, and is not here.

    Args:
        num_classes: K, people in the paper.
        image_shape: C, H, W; 152×152 in the paper (aligned faces), 72×72 at least.
        local: ``false`` makes convolutions of L4, L5 and L6, for comparison.
        dropout: probability, behind F7 alone (§3.2); the paper gives no figure.
        dense_width: neurons of F7, 4096 in the paper.

    Raises:
        ValueError: an image that is too small.
    """

    published_for = (4030, (3, 152, 152))

    stages: Mapping[str, str] = {
        **{f"conv{i}": f"relu{i}" for i in (1, 3)},
        **{f"local{i}": f"relu{i}" for i in (4, 5, 6)},
        "fc7": "relu7",
        "head": "fc8",
    }

    def __init__(
        self,
        num_classes: int,
        image_shape: tuple[int, int, int],
        local: bool = True,
        dropout: float = 0.5,
        dense_width: int = 4096,
    ) -> None:
        super().__init__()
        maps, *size = image_shape
        sizes = _sizes((size[0], size[1]))
        with Uninitialised():
            for row, before in zip(_ROWS, sizes[:-1], strict=True):
                self.add_module(row.layer, _layer(row, maps, before, local))
                if row.maps:
                    maps = row.maps
                    self.add_module(f"relu{row.layer[-1]}", nn.ReLU(inplace=True))
            self.flatten = nn.Flatten()
            self.fc7 = nn.Linear(maps * sizes[-1][0] * sizes[-1][1], dense_width)
            self.relu7 = nn.ReLU(inplace=True)
            self.dropout = nn.Dropout(dropout)
            self.fc8 = nn.Linear(dense_width, num_classes)
        for name, parameter in self.named_parameters():  # §5.2
            if name.endswith("bias"):
                nn.init.constant_(parameter, 0.5)
            else:
                nn.init.normal_(parameter, std=0.01)

    def forward(self, images: Tensor) -> Tensor:
        x = images
        for layer in self.children():
            x = layer(x)
        return x


def _layer(row: _Row, maps_in: int, size: Pair, local: bool) -> nn.Module:
    if not row.maps:
        return nn.MaxPool2d(row.kernel, row.stride, ceil_mode=True)  # 142 becomes 71
    if row.local and local:
        return LocallyConnected2d(maps_in, row.maps, size, row.kernel, row.stride)
    return nn.Conv2d(maps_in, row.maps, row.kernel, row.stride)


def _sizes(image: Pair) -> list[Pair]:
    """H×W in front of each row and behind the last.

    Raises:
        ValueError: the image is used up on the way; names the layer, what it got and the smallest that works.
    """
    sizes = [image]
    for row in _ROWS:
        height, width = (_after(row, side) for side in sizes[-1])
        if min(height, width) < 1:
            raise ValueError(
                f"deepface: an image of {image[0]}×{image[1]} is too small: {row.layer} gets "
                f"{sizes[-1][0]}×{sizes[-1][1]}; {_smallest()}×{_smallest()} is the smallest that works"
            )
        sizes.append((height, width))
    return sizes


def _after(row: _Row, side: int) -> int:
    left = side - row.kernel
    return (left if row.maps else left + row.stride - 1) // row.stride + 1


def _smallest() -> int:
    """The side of which one pixel is left, from the last layer to the first."""
    side = 1
    for row in reversed(_ROWS):
        side = (side - 1) * row.stride + row.kernel
        if not row.maps:
            side -= row.stride - 1  # the last window of a pooling may hang over the edge
    return side
