"""Operations that move numbers about and change none: views, permutations, slices, concatenations."""

from collections.abc import Callable, Sequence

from convkit.inspection.axes import Axis
from convkit.inspection.call import Call, NotUnderstoodError, Rule, relaid
from convkit.inspection.field import Field, combine
from convkit.inspection.layout import Layout, pure_side, resized, sides, view


def _view(call: Call) -> Field:
    field, before = call.single
    layout, cut = view(before, call.shape)
    if layout is None:
        raise NotUnderstoodError
    return relaid(field.scatter(cut, call.name), layout)


def _permute(order: Callable[[Call, int], Sequence[int]]) -> Rule:
    def rule(call: Call) -> Field:
        field, layout = call.single
        return relaid(field, [layout[dim] for dim in order(call, len(layout))])

    return rule


def _swap(first: int, second: int, count: int) -> list[int]:
    order = list(range(count))
    first, second = first % count, second % count
    order[first], order[second] = order[second], order[first]
    return order


def _expand(call: Call) -> Field:
    return combine([call.single[0]], call.shape, call.name)


def _unsqueeze(call: Call) -> Field:
    field, layout = call.single
    dim = call["dim"] % len(call.shape)
    return relaid(field, (*layout[:dim], (), *layout[dim:]))


def _squeeze(call: Call) -> Field:
    field, layout = call.single
    gone = [dim for dim in call.dims("dim") if call["self"].shape[dim] == 1]
    return relaid(_alone(field, layout, gone, call.name), [a for dim, a in enumerate(layout) if dim not in gone])


def _alone(field: Field, layout: Layout, gone: Sequence[int], name: str) -> Field:
    """The one unit that is left along dimensions that go."""
    return field.change(sides(layout, gone), Axis.everything, name)


def _part(field: Field, dim: int, start: int, step: int, shape: Sequence[int], name: str) -> Field:
    """Each ``step``-th element of ``dim`` from ``start`` on."""
    layout = field.layout or ()
    side = pure_side(layout, dim)

    def part(axis: Axis) -> Axis | None:
        if side is None:  # some of many tokens: what these see together is not known, unless all see the same
            return axis if axis.fixed else None
        return axis.every(start, step, shape[dim])

    return relaid(field.change(sides(layout, [dim]), part, name), resized(layout, shape))


def _slice(call: Call) -> Field:
    size, start = call["self"].shape[call.dim], call["start"] or 0
    start = min(max(start + size if start < 0 else start, 0), size)
    return _part(call.single[0], call.dim, start, call["step"], call.shape, call.name)


def _select(call: Call) -> Field:
    shape = list(call["self"].shape)
    start = call["index"] % shape[call.dim]
    shape[call.dim] = 1
    field = _part(call.single[0], call.dim, start, 1, shape, call.name)
    layout = field.layout or ()
    field = _alone(field, layout, [call.dim], call.name)
    return relaid(field, [atoms for dim, atoms in enumerate(layout) if dim != call.dim])


def _split(call: Call) -> list[Field]:
    start, parts = 0, []
    for out in call.out:
        parts.append(_part(call.single[0], call.dim, start, 1, out.shape, call.name))
        start += out.shape[call.dim]
    return parts


def _unbind(call: Call) -> list[Field]:
    field, layout = call.single
    if sides(layout, [call.dim]):
        raise NotUnderstoodError
    return [relaid(field, [atoms for dim, atoms in enumerate(layout) if dim != call.dim]) for _ in call.out]


def _cat(call: Call) -> Field:
    dim = call["dim"] % len(call.shape)
    fields = [field for tensor in call["tensors"] if (field := call.fields.get(id(tensor))) is not None]
    layouts = [field.layout for field in fields if field.layout is not None]
    across = sides(tuple(layout[dim] for layout in layouts))
    if len(layouts) < len(fields) or (across and len(fields) > 1):
        raise NotUnderstoodError
    aligned = [relaid(field, resized(layout, call.shape)) for field, layout in zip(fields, layouts, strict=True)]
    return combine(aligned, call.shape, call.name).scatter(across, call.name)


def _stack(call: Call) -> Field:
    dim = call["dim"] % len(call.shape)
    shape = [size for index, size in enumerate(call.shape) if index != dim]
    field = combine(call.fields.values(), shape, call.name)
    layout = field.layout
    if layout is None:
        return field
    return relaid(field, (*layout[:dim], (("", call.shape[dim]),), *layout[dim:]))


def _moved_along(argument: str) -> Rule:
    """A rule for what moves units along some dimensions and loses none: a roll, a flip."""

    def rule(call: Call) -> Field:
        field, layout = call.single
        return field.scatter(sides(layout, call.dims(argument)), call.name)

    return rule


def _same(call: Call) -> Field:
    if tuple(call["self"].shape) != call.shape:
        raise NotUnderstoodError
    return call.single[0]


def _copy(call: Call) -> Field | None:
    field = call.field("src")
    return combine([field], call.shape, call.name) if field else None


RULES: dict[str, Rule] = {
    **dict.fromkeys(("view", "_unsafe_view", "reshape", "_reshape_alias"), _view),
    "permute": _permute(lambda call, count: [dim % count for dim in call["dims"]]),
    "transpose": _permute(lambda call, count: _swap(call["dim0"], call["dim1"], count)),
    "t": _permute(lambda call, count: list(range(count))[::-1]),
    "expand": _expand,
    "unsqueeze": _unsqueeze,
    "squeeze": _squeeze,
    "slice": _slice,
    "select": _select,
    **dict.fromkeys(("split", "split_with_sizes"), _split),
    "unbind": _unbind,
    "cat": _cat,
    "stack": _stack,
    "roll": _moved_along("dims"),
    "flip": _moved_along("dims"),
    **dict.fromkeys(("alias", "detach", "_to_copy", "as_strided_"), _same),
    "copy_": _copy,
}
