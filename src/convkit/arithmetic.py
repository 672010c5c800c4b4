"""The arithmetic of a convolution: sizes, weights, multiply-adds, what a stack of layers sees. No torch.

Sides are treated one at a time, in pixels; a *multiply-add* is one multiplication and the addition of its product.
"""

from collections.abc import Iterable
from fractions import Fraction
from math import prod
from typing import Literal, NamedTuple

Padding = Literal["valid", "same", "full"] | int | tuple[int, int]


class Cost(NamedTuple):
    """What a layer costs for one image."""

    weights: int
    biases: int
    macs: int  # multiply-adds

    @property
    def parameters(self) -> int:
        return self.weights + self.biases


def pads(size: int, kernel: int, stride: int = 1, padding: Padding = "valid", dilation: int = 1) -> tuple[int, int]:
    """The zeros that a padding mode puts before and after a side.

    ``valid`` adds none; ``same`` as many as make the output size/stride, rounded up, the odd one after, as TensorFlow
    does; ``full`` as many as let the kernel touch the image with a single weight.

    Raises:
        ValueError: an unknown mode, or numbers below 0.
    """
    reach = dilation * (kernel - 1)
    if padding == "valid":
        return 0, 0
    if padding == "full":
        return reach, reach
    if padding == "same":
        total = max((-(-size // stride) - 1) * stride + reach + 1 - size, 0)
        return total // 2, total - total // 2
    both = (padding, padding) if isinstance(padding, int) else padding
    if isinstance(both, str) or min(both) < 0:
        raise ValueError(f"padding is valid, same, full, or numbers from 0 on, not {padding!r}")
    return both


def output_size(size: int, kernel: int, stride: int = 1, padding: Padding = "valid", dilation: int = 1) -> int:
    """The side of a layer's output: (size + padding − reach of the kernel) / stride, rounded down, plus one.

    Raises:
        ValueError: the kernel reaches beyond the padded side; gives the smallest side that works.
    """
    before, after = pads(size, kernel, stride, padding, dilation)
    reach = dilation * (kernel - 1) + 1
    if size + before + after < reach:
        raise ValueError(
            f"a kernel that reaches over {reach} does not fit on a side of {size} with padding {padding!r}; "
            f"{reach - before - after} is the smallest that works"
        )
    return (size + before + after - reach) // stride + 1


def padding_mode(size: int, reach: int, stride: int, before: int, after: int) -> str:
    """The name of a padding that was given in numbers: ``valid``, ``same``, ``full``, else ``2`` or ``2+1``.

    Args:
        size: of the side before padding.
        reach: the pixels that the kernel spans, dilation included.
        stride: of the layer.
        before: zeros before the side.
        after: zeros after it.
    """
    if before == after == 0:
        return "valid"
    if (size + before + after - reach) // stride + 1 == -(-size // stride):
        return "same"
    if before == after == reach - 1:
        return "full"
    return f"{before}" if before == after else f"{before}+{after}"


def receptive_field(layers: Iterable[tuple[int, int] | tuple[int, int, int]]) -> tuple[int, int]:
    """Size and stride, in pixels, of the receptive field on top of a stack of (kernel, stride[, dilation])."""
    size, step = 1, 1
    for kernel, stride, *dilation in layers:
        size += (kernel - 1) * (dilation[0] if dilation else 1) * step
        step *= stride
    return size, step


def convolution(
    channels: int, maps: int, kernel: tuple[int, ...], output: tuple[int, ...], groups: int = 1, bias: bool = True
) -> Cost:
    """One filter a map, the same at every location: ``maps · kernel · channels/groups`` weights.

    Args:
        channels: of the input.
        maps: of the output, the number of filters.
        kernel: rows, columns.
        output: rows, columns of the output.
        groups: each filter sees channels/groups of the channels.
        bias: one number a map.
    """
    weights = maps * (channels // groups) * prod(kernel)
    return Cost(weights, maps if bias else 0, weights * prod(output))


def locally_connected(
    channels: int, maps: int, kernel: tuple[int, ...], output: tuple[int, ...], groups: int = 1, bias: bool = True
) -> Cost:
    """The same connections with a filter of its own at every location: a convolution's multiply-adds, no sharing."""
    shared = convolution(channels, maps, kernel, output, groups, bias)
    return Cost(shared.weights * prod(output), shared.biases * prod(output), shared.macs)


def dense(inputs: int, outputs: int, bias: bool = True) -> Cost:
    """Every input to every output."""
    return Cost(inputs * outputs, outputs if bias else 0, inputs * outputs)


def pixels(number: Fraction | int) -> int | float:
    """A number of pixels without a needless fraction."""
    return int(number) if number == int(number) else float(number)
