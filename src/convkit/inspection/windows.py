"""Operations that slide a kernel along the image: convolutions, poolings, paddings."""

from collections.abc import Sequence
from dataclasses import dataclass

from convkit.inspection.axes import Axis
from convkit.inspection.call import LOCALLY_CONNECTED, PADDINGS, POOLINGS, Call, NotUnderstoodError, Rule, relaid
from convkit.inspection.field import Field
from convkit.inspection.layout import pure_side, resized, sides


@dataclass(frozen=True, slots=True)
class Window:
    """Along one dimension: how far a kernel reaches, in units, and its stride, padding before, and the sizes."""

    dim: int
    size: int
    reach: int
    stride: int
    before: int
    after: int
    count: int


def windows(call: Call) -> list[Window]:
    """Of a convolution, a pooling or a padding; empty for anything else."""
    source = call.source
    if source is None:
        return []
    if call.name in PADDINGS:
        pads = list(call["pad" if call.name == "constant_pad_nd" else "padding"])
        pairs = zip(pads[::2], pads[1::2], strict=True)
        dims = range(source.dim() - 1, -1, -1)
        return [
            Window(dim, source.shape[dim], 1, 1, before, after, call.shape[dim])
            for dim, (before, after) in zip(dims, pairs, strict=False)
        ]
    if call.name == "convolution" and not call["transposed"]:
        kernel, count = list(call["weight"].shape[2:]), source.dim() - 2
    elif call.name == LOCALLY_CONNECTED:
        kernel, count = list(call["weight"].shape[:2:-1][1:]), 2
    elif call.name in POOLINGS:
        kernel, count = list(call["kernel_size"]), int(call.name[call.name.index("pool") + 4])
    else:
        return []
    kernel, padding, stride, dilation = (
        _each(value, count)
        for value in (
            kernel,
            call.arguments.get("padding", 0),
            call["stride"] or kernel,
            call.arguments.get("dilation", 1),
        )
    )
    dims = range(source.dim() - count, source.dim())
    return [
        _window(call, dim, step * (size - 1) + 1, *rest)
        for dim, size, step, *rest in zip(dims, kernel, dilation, stride, padding, strict=True)
    ]


def _window(call: Call, dim: int, reach: int, stride: int, padding: int) -> Window:
    assert call.source is not None
    size, out = call.source.shape[dim], call.shape[dim]
    # sizes rounded up let the last window hang over the edge: as good as padding
    over = (out - 1) * stride + reach - size - padding
    return Window(dim, size, reach, stride, padding, max(padding, over), out)


def _each(value: int | Sequence[int], count: int) -> list[int]:
    values = [value] if isinstance(value, int) else list(value)
    return values * count if len(values) == 1 else values


def _slide(call: Call) -> Field:
    field, _ = call.single
    found = windows(call)
    if not found:
        raise NotUnderstoodError  # a transposed convolution
    if call.name not in POOLINGS:
        field = field.reduce([1], call.name)
    for window in found:
        field = _along(field, window, call.name)
    if field.layout is None:
        raise NotUnderstoodError
    return relaid(field, resized(field.layout, call.shape))


def _along(field: Field, window: Window, name: str) -> Field:
    across = sides(field.layout or (), [window.dim])
    if not across or (window.reach == window.stride == 1 and window.size == window.count):
        return field
    side = pure_side(field.layout or (), window.dim)

    def slide(axis: Axis) -> Axis | None:
        if side is None:
            return axis if axis.whole else None
        return axis.window(window.reach, window.stride, window.before, window.count)

    return field.change(across, slide, name)


def _pad(call: Call) -> Field:
    field, layout = call.single
    for window in windows(call):
        if not window.before and not window.after:
            continue
        side = pure_side(layout, window.dim)

        def pad(axis: Axis, window: Window = window, side: str | None = side) -> Axis | None:
            return None if side is None else axis.pad(window.before, window.after)

        field = field.change(sides(layout, [window.dim]), pad, call.name)
    return relaid(field, resized(layout, call.shape))


def _adaptive(call: Call) -> Field:
    field, layout = call.single
    for dim in range(len(call.shape) - len(call["output_size"]), len(call.shape)):
        side, count = pure_side(layout, dim), call.shape[dim]

        def pool(axis: Axis, side: str | None = side, count: int = count) -> Axis | None:
            return None if side is None else axis.adaptive(count)

        field = field.change(sides(layout, [dim]), pool, call.name)
    return relaid(field, resized(layout, call.shape))


RULES: dict[str, Rule] = {
    **dict.fromkeys(("convolution", LOCALLY_CONNECTED), _slide),
    **dict.fromkeys(POOLINGS, _slide),
    **dict.fromkeys(PADDINGS, _pad),
    **dict.fromkeys(("_adaptive_avg_pool2d", "adaptive_max_pool2d", "adaptive_avg_pool1d"), _adaptive),
}
