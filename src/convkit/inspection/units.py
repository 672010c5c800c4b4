"""Where in the image the units of a stage look: for pictures of what excites them."""

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor
from typing import NamedTuple

from convkit.convnet import ConvNet
from convkit.errors import UserError
from convkit.inspection.axes import Axis
from convkit.inspection.layers import evaluating
from convkit.inspection.layout import pure_side, sides
from convkit.inspection.trace import Visit, trace


@dataclass(frozen=True, slots=True)
class Side:
    """``count`` units along a side of ``image`` pixels; unit i sees ``[low + i·stride, low + i·stride + size)``."""

    image: int
    count: int
    low: Fraction
    size: Fraction
    stride: Fraction

    @property
    def extent(self) -> int:
        """Pixels of a window that holds what any one unit sees of the image."""
        even = self.low.denominator == self.size.denominator == self.stride.denominator == 1
        return min(self.image, ceil(self.size) + (not even))

    def span(self, unit: int) -> tuple[int, int]:
        """First pixel of the image that a unit sees, and the first after them."""
        start = self.low + unit * self.stride
        return max(0, floor(start)), min(self.image, ceil(start + self.size))

    def start(self, unit: int) -> int:
        """First pixel of a unit's window, which lies in the image and holds the unit's span."""
        return min(max(0, floor(self.low + unit * self.stride)), self.image - self.extent)

    def shift(self, unit: int) -> int:
        """How many pixels after its unit's field the window begins: where that leaves the image, not 0."""
        return self.start(unit) - floor(self.low + unit * self.stride)


class Units(NamedTuple):
    """The output of a stage: C maps of units that have a place along both sides of the image."""

    stage: str
    maps: int
    rows: Side
    columns: Side

    def place(self, index: int) -> tuple[int, int]:
        """Row and column of row·width + column."""
        return divmod(index, self.columns.count)

    def box(self, row: int, column: int) -> tuple[int, int, int, int]:
        """Top, left, bottom, right of what a unit sees of the image; the last two are the first pixels after it."""
        (top, bottom), (left, right) = self.rows.span(row), self.columns.span(column)
        return top, left, bottom, right


def units(
    net: ConvNet, image_shape: tuple[int, int, int], stages: list[str], refused: dict[str, UserError] | None = None
) -> dict[str, Units]:
    """Of each stage, for C×H×W images; nothing is computed. A layer without place is one of maps of one unit each.

    A unit of maps behind an operation that is not understood is taken to see the whole image.

    Raises:
        UserError: a stage puts out no N×C×H×W maps and no N×C values; with ``refused`` it is put there instead.
    """
    with evaluating(net):
        visits = {visit.name: visit for visit in trace(net, image_shape) if not visit.operation}
    found = {}
    for stage in stages:
        try:
            found[stage] = _units(stage, visits.get(net.stages[stage]), image_shape, net.stage_layouts.get(stage))
        except UserError as error:
            if refused is None:
                raise
            refused[stage] = error
    return found


def _units(stage: str, visit: Visit | None, image_shape: tuple[int, int, int], order: str | None) -> Units:
    if visit is None:
        raise UserError(f"stage {stage} is not used in evaluation")
    shape, layout = visit.output, visit.sees.layout if visit.sees else None
    if order == "NHWC":
        shape, layout = (shape[2], *shape[:2]), layout and tuple(layout[dim] for dim in (0, 3, 1, 2))
    counts = (1, 1) if len(shape) == 1 else shape[1:]
    # Of what is not understood nobody knows which dimension has the maps, unless the network says so.
    placed = len(shape) == 1 or (
        len(shape) == 3
        and (
            order is not None
            if layout is None
            else all(
                count == 1 or pure_side(layout, dim) == side
                for dim, side, count in zip((2, 3), "yx", counts, strict=True)
            )
        )
    )
    if not placed:
        lost = f" ({visit.sees.lost} on the way is not understood)" if visit.sees and visit.sees.lost else ""
        raise UserError(f"stage {stage} puts out {'×'.join(map(str, shape))}, which are no C×H×W maps{lost}")
    axes = (visit.sees.rows, visit.sees.columns) if visit.sees else (None, None)
    among_maps = sides(layout, [1]) if layout else set("yx")
    rows, columns = (
        _side(None if name in among_maps else axis, size, count)
        for name, axis, size, count in zip("yx", axes, image_shape[1:], counts, strict=True)
    )
    return Units(stage, shape[0], rows, columns)


def _side(axis: Axis | None, image: int, count: int) -> Side:
    if axis is None or (axis.stride is None and not axis.fixed and axis.count > 1):
        return Side(image, count, Fraction(0), Fraction(image), Fraction(0))
    if axis.fixed:
        return Side(image, count, axis.low, axis.high - axis.low, Fraction(0))
    return Side(image, count, axis.low, axis.size, axis.stride or Fraction(0))
