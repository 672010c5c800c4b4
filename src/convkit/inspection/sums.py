"""Operations that add up along dimensions: means, norms, softmax, products of matrices."""

from collections.abc import Callable
from dataclasses import replace

from convkit.inspection.axes import Axis
from convkit.inspection.call import Call, NotUnderstoodError, Rule, relaid
from convkit.inspection.field import Field, combine
from convkit.inspection.layout import sides, without


def _reduction(call: Call) -> Field:
    dims = call.dims("dim")
    field = call.single[0].reduce(dims, call.name)
    if field.layout is None or call.arguments.get("keepdim"):
        return field
    return relaid(field, [atoms for dim, atoms in enumerate(field.layout) if dim not in dims])


def _over(dims: Callable[[Call], list[int]]) -> Rule:
    """A rule for what normalises over these dimensions and leaves the shape."""
    return lambda call: call.single[0].mix(dims(call), call.name)


def _matmul(first: str, second: str) -> Rule:
    """``first`` (…×M×K) by ``second`` (…×K×N)."""

    def rule(call: Call) -> Field:
        last = len(call.shape) - 1
        places = ((first, last, last - 1), (second, last - 1, last))
        known = [(field, inner, kept) for name, inner, kept in places if (field := call.field(name)) is not None]
        if len(known) < len(call.fields) or any(field.layout is None for field, _, _ in known):
            raise NotUnderstoodError  # the addend depends on the image, too
        parts = [(field.reduce([inner], call.name), kept) for field, inner, kept in known]
        if len(parts) == 2:  # rows of one against rows of the other: a unit sees a pair of places
            one, other = (sides(field.layout or (), [kept]) for field, kept in parts)
            for side in one & other:
                parts = [(_pairs(field, kept, side, call.name), kept) for field, kept in parts]
        return combine([field for field, _ in parts], call.shape, call.name)

    return rule


def _pairs(field: Field, kept: int, side: str, name: str) -> Field:
    """As if each unit saw all that lies along ``side``: for pairs of places, an upper bound until the next product has
    added them up."""
    layout = field.layout or ()
    others = sides(layout, [dim for dim in range(len(layout)) if dim != kept])

    def gather(axis: Axis) -> Axis | None:
        return axis.everything() if side not in others else None

    return replace(field.change([side], gather, name), layout=without(layout, {side}))


RULES: dict[str, Rule] = {
    **dict.fromkeys(("mean", "sum", "amax", "amin", "var", "std", "var_mean", "linalg_vector_norm"), _reduction),
    **dict.fromkeys(("norm", "logsumexp", "prod"), _reduction),
    **dict.fromkeys(("_softmax", "_safe_softmax", "_log_softmax"), _over(lambda call: call.dims("dim"))),
    "native_layer_norm": _over(lambda call: call.dims("")[-len(call["normalized_shape"]) :]),
    "native_group_norm": _over(lambda call: call.dims("")[1:]),
    "native_batch_norm": _over(lambda call: [0, *call.dims("")[2:]] if call["training"] else []),
    "mm": _matmul("self", "mat2"),
    "bmm": _matmul("self", "mat2"),
    "addmm": _matmul("mat1", "mat2"),
    "baddbmm": _matmul("batch1", "batch2"),
}
