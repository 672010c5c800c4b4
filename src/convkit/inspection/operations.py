"""How each of torch's own operations changes what a tensor sees: one rule for each kind. These lie below Python's
functions: modules, ``torch.nn.functional``, operators and slices all come down to the same few."""

from convkit.inspection import moves, sums, windows
from convkit.inspection.call import Call, NotUnderstoodError, Result, Rule
from convkit.inspection.field import combine

RULES: dict[str, Rule] = {**windows.RULES, **sums.RULES, **moves.RULES}
# Element by element, too, though torch does not tag them so.
UNTAGGED = {"hardswish", "hardswish_", "mish_", "gelu_", "threshold_", "rrelu_", "abs_", "_prelu_kernel", "prelu"}
UNTAGGED |= {"log_sigmoid_forward", "masked_fill_", "native_dropout", "floor_divide", "floor_divide_"}
# Of an argument's shape alone.
INDEPENDENT = {f"{kind}_like" for kind in ("zeros", "ones", "full", "empty", "rand", "randn")}
INDEPENDENT |= {f"new_{kind}" for kind in ("zeros", "ones", "full", "empty")}


def see(call: Call) -> Result:
    """What the result sees: one field, or one for each tensor in a list. None: it does not depend on the image."""
    if not call.fields or call.name in INDEPENDENT:
        return None
    try:
        if rule := RULES.get(call.name):
            return rule(call)
        if call.pointwise or call.name in UNTAGGED:
            return combine(call.fields.values(), call.shape, call.name)
    except NotUnderstoodError:
        pass
    return call.lost
