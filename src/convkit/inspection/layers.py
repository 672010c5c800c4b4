"""A network as a table: one row a layer, with what it puts out, costs and sees."""

from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from math import prod

from torch import nn

from convkit import arithmetic
from convkit.arithmetic import Cost, padding_mode, pixels
from convkit.convnet import ConvNet
from convkit.inspection.axes import Axis
from convkit.inspection.layout import pure_side
from convkit.inspection.trace import Convolution, Visit, trace

Sides = tuple[int | float, int | float]  # rows, columns


@dataclass(frozen=True, slots=True)
class Row:
    """A layer, or all layers of a stage, for one image."""

    name: str  # module path, or the stage's name
    type: str
    output_shape: tuple[int, ...]
    parameters: int  # those that no layer before it used
    macs: int
    receptive_field: Sides | None  # in pixels, padding included; None: not known, see `lost`
    whole_image: bool  # every unit sees all of it, wherever the unit is
    stride: Sides | None  # pixels between neighbours; None: it has no place in the image, or it is not known
    padding: str | None  # valid, same, full, or in numbers; rows×columns where they differ; None: no kernel
    lost: str = ""  # the first operation on the way that was not understood
    convolution: Convolution | None = None

    @property
    def neurons(self) -> int:
        return prod(self.output_shape)

    @property
    def locally_connected(self) -> Cost | None:
        """What the convolution would cost with a filter of its own at every location."""
        if (one := self.convolution) is None:
            return None
        maps, _, *kernel = one.weight
        return arithmetic.locally_connected(
            one.image[0], maps, tuple(kernel), one.output[1:], groups=one.groups, bias=one.bias
        )

    @property
    def dense(self) -> Cost | None:
        """What it would cost with every input connected to every output."""
        if (one := self.convolution) is None:
            return None
        return arithmetic.dense(prod(one.image), prod(one.output), bias=one.bias)


@dataclass(frozen=True)
class Table:
    """Every layer of a network in the order in which they ran, in evaluation, for one image."""

    image_shape: tuple[int, int, int]
    layers: list[Row]
    stages: list[Row]  # parameters and macs: of the layers since the stage before
    stage_ends: list[int]  # how many layers have run at the end of each stage
    top: Row | None  # the last module whose units have a place in the image, containers included
    parameters: int  # of the whole network, auxiliary heads and all

    @cached_property
    def macs(self) -> int:
        return sum(row.macs for row in self.layers)

    @cached_property
    def neurons(self) -> int:
        """Outputs of the layers that multiply and add, as the papers count them."""
        return sum(row.neurons for row in self.layers if row.macs)

    @cached_property
    def idle_parameters(self) -> int:
        """Those that evaluation does not use: of auxiliary heads, mostly."""
        return self.parameters - sum(row.parameters for row in self.layers)


def inspect(net: nn.Module, image_shape: tuple[int, int, int]) -> Table:
    """The table of any network for one C×H×W image; nothing is computed, and its weights are not read.

    A layer is a module without modules in it, or one with weights of its own and none within. A container has a row
    where it computes by itself, and one for each pooling that it does without a module.

    Raises:
        RuntimeError: the image does not get through.
    """
    with evaluating(net):
        visits = trace(net, image_shape)
    at = [index for index, visit in enumerate(visits) if _counts(visit)]
    rows = [_row(visits[index]) for index in at]
    stages, ends = [], [0]
    for stage, path in net.stages.items() if isinstance(net, ConvNet) else ():
        runs = [index for index, visit in enumerate(visits) if visit.name == path and not visit.operation]
        if not runs:
            continue  # a stage that evaluation leaves out
        end = max(ends[-1], bisect_right(at, runs[-1]))
        part = rows[ends[-1] : end]
        stages.append(_row(visits[runs[-1]], stage, sum(row.parameters for row in part), sum(row.macs for row in part)))
        ends.append(end)
    placed = (row for visit in reversed(visits) if (row := _row(visit)).stride and len(row.output_shape) > 2)
    return Table(
        image_shape, rows, stages, ends[1:], next(placed, None), sum(value.numel() for value in net.parameters())
    )


@contextmanager
def evaluating(net: nn.Module) -> Iterator[None]:
    """``net.eval()`` for a while; afterwards each module is in the mode that it was in."""
    training = [module for module in net.modules() if module.training]
    net.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def _counts(visit: Visit) -> bool:
    if visit.inside or isinstance(visit.module, nn.Identity):
        return False
    return visit.layer or bool(visit.parameters or visit.macs)


def _row(visit: Visit, name: str = "", parameters: int | None = None, macs: int | None = None) -> Row:
    sees = visit.sees
    axes = [sees.rows, sees.columns] if sees else [None, None]
    known = [axis for axis in axes if axis]
    sizes = tuple(pixels(axis.size) for axis in known)
    strides = [_stride(visit, side, axis) for side, axis in zip("yx", axes, strict=True)]
    return Row(
        name or f"{visit.name}.{visit.operation}".strip(".") or type(visit.module).__name__,
        visit.operation or type(visit.module).__name__,
        visit.output,
        visit.parameters if parameters is None else parameters,
        visit.macs if macs is None else macs,
        (sizes[0], sizes[1]) if len(sizes) == 2 else None,
        len(known) == 2 and all(axis.whole for axis in known),
        None if strides[0] is None or strides[1] is None else (strides[0], strides[1]),
        _padding(visit) if visit.layer else None,
        sees.lost if sees else "",
        visit.convolutions[0] if len(visit.convolutions) == 1 else None,
    )


def _stride(visit: Visit, side: str, axis: Axis | None) -> int | float | None:
    layout = visit.sees.layout if visit.sees else None
    if axis is None or axis.stride is None or layout is None:
        return None
    placed = any(pure_side(layout, dim) == side for dim in range(len(layout)))
    return pixels(axis.stride) if placed else None


def _padding(visit: Visit) -> str | None:
    """The mode of a layer with one kernel, paddings before it in the same layer taken together with its own."""
    modes = {}
    for dim in sorted({window.dim for window in visit.windows}):
        *pads, last = (window for window in visit.windows if window.dim == dim)
        if any(window.reach > 1 or window.stride > 1 for window in pads):
            return None
        first = pads[0] if pads else last
        before = sum(window.before for window in (*pads, last))
        after = sum(window.after for window in (*pads, last))
        modes[dim] = padding_mode(first.size, last.reach, last.stride, before, after)
    if not modes:
        return None
    return next(iter(modes.values())) if len(set(modes.values())) == 1 else "×".join(modes.values())
