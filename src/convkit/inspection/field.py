"""What the units of one tensor see of the image, on both sides, and how that changes where dimensions are mixed."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from convkit.inspection.axes import Axis, union
from convkit.inspection.layout import SIDES, Layout, blank, broadcast, image_layout, sides


@dataclass(frozen=True, slots=True)
class Field:
    """Along each side an :class:`Axis`, None where an operation on the way was not understood: ``lost`` names it.

    ``layout`` says which dimension of the tensor runs along which side; None where that, too, is not known.
    """

    rows: Axis | None
    columns: Axis | None
    layout: Layout | None
    lost: str = ""

    def axis(self, side: str) -> Axis | None:
        return self.rows if side == "y" else self.columns

    def change(self, wanted: Collection[str], how: Callable[[Axis], Axis | None], operation: str) -> "Field":
        """The axes of these sides replaced; ``operation`` is blamed where that gives none."""
        field = self
        for side in wanted:
            if (axis := field.axis(side)) is None:
                continue
            new = how(axis)
            field = replace(field, rows=new) if side == "y" else replace(field, columns=new)
            if new is None:
                field = replace(field, lost=field.lost or operation)
        return field

    def lose(self, operation: str) -> "Field":
        """After an operation that is not understood: what sees the whole image goes on doing so."""
        return replace(self.change(SIDES, _keep_whole, operation), layout=None)

    def mix(self, dims: Collection[int], operation: str) -> "Field":
        """After a sum over ``dims`` that leaves them where they are: all that lies along them is seen at once."""
        if self.layout is None:
            return self.lose(operation)
        others = sides(self.layout, [dim for dim in range(len(self.layout)) if dim not in dims])
        mixed = sides(self.layout, dims)
        return self.change(mixed & others, _keep_whole, operation).change(
            mixed - others, lambda axis: axis.everything().spread(axis), operation
        )

    def reduce(self, dims: Collection[int], operation: str) -> "Field":
        """After a sum over ``dims``, each of which has one element left."""
        field = self.mix(dims, operation)
        if field.layout is None:
            return field
        gone = sides(field.layout, dims)
        layout = tuple(() if dim in dims else atoms for dim, atoms in enumerate(field.layout))
        gone -= sides(layout)
        return replace(field.change(gone, Axis.everything, operation), layout=layout)

    def scatter(self, wanted: Collection[str], operation: str) -> "Field":
        """After an operation that moves units of these sides about, each of them still there and as it was."""
        return self.change(wanted, lambda axis: replace(axis, stride=None), operation)


def image_field(shape: Sequence[int]) -> Field:
    """Of N×C×H×W images: every pixel sees itself."""
    rows, columns = (Axis.of_image(size) for size in shape[2:])
    return Field(rows, columns, image_layout(shape))


def combine(fields: Iterable[Field], shape: Sequence[int], operation: str) -> Field:
    """Of a result that has each element from those in the same place, broadcast to ``shape``."""
    first, *others = fields
    for other in others:
        rows, columns = union(first.rows, other.rows), union(first.columns, other.columns)
        lost = first.lost or other.lost or ("" if rows and columns else operation)
        both = first.layout is not None and other.layout is not None
        layout = broadcast(first.layout, other.layout) if both else None  # type: ignore[arg-type]
        first = Field(rows, columns, layout, lost)
        if layout is None:
            first = first.lose(operation)
    layout = None if first.layout is None else broadcast(first.layout, blank(shape))
    return replace(first, layout=layout) if layout is not None else first.lose(operation)


def _keep_whole(axis: Axis) -> Axis | None:
    return axis if axis.whole else None
