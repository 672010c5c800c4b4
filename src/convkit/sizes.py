"""The size of an image on its way through a network, and the smallest that gets through. On the meta device: no
arithmetic is done and no weight is read."""

from itertools import chain
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm

LARGEST = 1024  # the side up to which a smallest image is looked for


class Stop(NamedTuple):
    """Where an image became too small: the layer's path, the C×H×W that it got, and torch's words."""

    layer: str
    shape: tuple[int, ...]
    reason: str


def output_shape(module: nn.Module, image_shape: tuple[int, int, int], owner: str) -> tuple[int, ...]:
    """The shape of ``module``'s output for one C×H×W image, without the batch's dimension.

    Args:
        module: a network or the first part of one; in the mode that it is in, auxiliary heads and all.
        image_shape: C, H, W.
        owner: whom an error speaks of, the short name of the architecture.

    Raises:
        ValueError: the image is too small; names the layer, the size that it got and the smallest image that works.
    """
    result = walk(module, image_shape)
    if not isinstance(result, Stop):
        return result
    channels, height, width = image_shape
    smallest = smallest_side(module, channels)
    if smallest is None or smallest <= min(height, width):  # size is not what ails it
        raise ValueError(f"{owner}: {result.layer} cannot take {times(result.shape)}: {result.reason}")
    raise ValueError(
        f"{owner}: an image of {height}×{width} is too small: {result.layer} gets {times(result.shape)}; "
        f"{smallest}×{smallest} is the smallest that works"
    )


def smallest_side(module: nn.Module, channels: int) -> int | None:
    """The side of the smallest square image that gets through, by bisection; none up to 1024 pixels is None."""
    too_small, works = 0, 1
    while isinstance(walk(module, (channels, works, works)), Stop):
        too_small, works = works, 2 * works
        if works > LARGEST:
            return None
    while works - too_small > 1:
        middle = (works + too_small) // 2
        if isinstance(walk(module, (channels, middle, middle)), Stop):
            too_small = middle
        else:
            works = middle
    return works


def walk(module: nn.Module, image_shape: tuple[int, ...]) -> tuple[int, ...] | Stop:
    """Send the shape of an image through: that of the (main) output, or where it stopped."""
    state = {name: torch.empty_like(value, device="meta") for name, value in _tensors(module)}
    entered: list[tuple[str, tuple[int, ...]]] = []
    names = {inner: name for name, inner in module.named_modules()}

    def enter(inner: nn.Module, inputs: tuple[object, ...]) -> None:
        first = inputs[0] if inputs else None
        entered.append((names[inner], tuple(first.shape[1:]) if isinstance(first, Tensor) else ()))

    def leave(inner: nn.Module, inputs: tuple[object, ...], output: object) -> None:
        if isinstance(output, Tensor) and not output.numel():
            raise RuntimeError("nothing is left of the image")
        entered.pop()

    # Its statistics are most of the time in a deep net, and have no part in a shape.
    normalising = [inner for inner in names if isinstance(inner, _BatchNorm) and inner.training]
    hooks = [inner.register_forward_pre_hook(enter) for inner in names]
    hooks += [inner.register_forward_hook(leave) for inner in names]
    try:
        for inner in normalising:
            inner.training = False
        output = functional_call(module, state, (torch.empty(2, *image_shape, device="meta"),))
    except RuntimeError as error:
        layer, shape = entered[-1]
        return Stop(layer or type(module).__name__, shape, str(error).splitlines()[0])
    finally:
        for inner in normalising:
            inner.training = True
        for hook in hooks:
            hook.remove()
    logits = output if isinstance(output, Tensor) else output[0]
    return tuple(logits.shape[1:])


def times(shape: tuple[int, ...]) -> str:
    """``64×7×7``."""
    return "×".join(map(str, shape))


def _tensors(module: nn.Module) -> chain[tuple[str, Tensor]]:
    return chain(module.named_parameters(), module.named_buffers())
