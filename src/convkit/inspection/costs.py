"""Multiply-adds of torch's own operations: convolutions and products of matrices. All else counts as
none, as the papers count."""

from math import prod

from convkit.inspection.call import LOCALLY_CONNECTED, Call


def macs(call: Call) -> int:
    """Multiply-adds of one operation. A fused attention counts as its two products of matrices."""
    if call.name in ("convolution", "_convolution"):
        weight, image = call["weight"], call["input"]
        # transposed, it is each input that meets a filter's weights, otherwise each output
        places = image.shape if call["transposed"] else call.shape
        return int(places[0] * prod(places[2:]) * weight.numel())
    if call.name == LOCALLY_CONNECTED:
        return int(call.shape[0] * call["weight"].numel())
    if call.name in _PRODUCTS:
        first, second = (call[argument] for argument in _PRODUCTS[call.name])
        return int(prod(first.shape) * second.shape[-1])
    if call.name.startswith("_scaled_dot_product"):
        query, key, value = call["query"], call["key"], call["value"]
        return int(prod(query.shape[:-1]) * key.shape[-2] * (key.shape[-1] + value.shape[-1]))
    return 0


_PRODUCTS = {
    "mm": ("self", "mat2"),
    "bmm": ("self", "mat2"),
    "addmm": ("mat1", "mat2"),
    "baddbmm": ("batch1", "batch2"),
}
