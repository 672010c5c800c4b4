"""A convolution's window with a filter of its own at every location: :class:`LocallyConnected2d`.

How it is computed (``benchmarks/locally_connected.py`` has the losers). One row of the output at a time: the rows of
the image that it sees are copied to N×W×(kh·C), where the window at each column is a matrix that overlaps its
neighbour's, so a batched product reads it without a copy. In the backward pass one product a kernel column adds
straight into those rows. Only the image is kept for it, kh·kw times less than its windows: they are copied anew, a
twentieth of its work.

Letters: N images, C and O maps in and out, H×W the image, h×w the output, kh×kw the kernel, sh×sw the stride.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the field's own name

Pair = tuple[int, int]


class LocallyConnected2d(nn.Module):
    """A convolution whose weights are not shared: N×C×H×W to N×O×h×w (Taigman et al. 2014, §3.2).

    The parameters lie location first, so that a batched product reads them as they are: ``weight``
    h×w×O×kw×kh×C, ``bias`` h×w×O. ``filters`` shows the weights as a convolution's at each place. Drawn as nn.Conv2d
    draws its own, uniformly within ±1/√(C·kh·kw). Gradients of any order.

    Args:
        in_channels: C.
        out_channels: O.
        image_size: H, W, fixed: there is a filter for each place; one number for a square.
        kernel_size: kh, kw.
        stride: sh, sw.
        padding: zeros above and below, left and right.
        bias: O numbers more at each location.

    Raises:
        ValueError: the kernel does not fit the padded image; or, in ``forward``, an image is of another size.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        image_size: int | Pair,
        kernel_size: int | Pair,
        stride: int | Pair = 1,
        padding: int | Pair = 0,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.in_channels, self.out_channels = in_channels, out_channels
        self.image_size, self.kernel_size = _pair(image_size), _pair(kernel_size)
        self.stride, self.padding = _pair(stride), _pair(padding)
        padded = [size + 2 * more for size, more in zip(self.image_size, self.padding, strict=True)]
        if any(kernel > size for kernel, size in zip(self.kernel_size, padded, strict=True)):
            raise ValueError(
                f"LocallyConnected2d: a {_times(self.kernel_size)} kernel does not fit an image of "
                f"{_times(self.image_size)} with padding {_times(self.padding)}; make the image or the padding larger"
            )
        self.output_size = _output_size(padded, self.kernel_size, self.stride)
        kh, kw = self.kernel_size
        self.weight = nn.Parameter(torch.empty(*self.output_size, out_channels, kw, kh, in_channels))
        self.bias = nn.Parameter(torch.empty(*self.output_size, out_channels)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        kh, kw = self.kernel_size
        bound = (self.in_channels * kh * kw) ** -0.5
        for parameter in self.parameters(recurse=False):
            nn.init.uniform_(parameter, -bound, bound)

    @property
    def filters(self) -> Tensor:
        """The weights as h×w×O×C×kh×kw, a view of them: ``filters[i, j]`` is a convolution's weight."""
        return self.weight.permute(0, 1, 2, 5, 4, 3)

    def forward(self, images: Tensor) -> Tensor:
        expected = (self.in_channels, *self.image_size)
        if tuple(images.shape[1:]) != expected:
            raise ValueError(
                f"LocallyConnected2d: made for images of {_times(expected)}, got {_times(images.shape[1:])}"
            )
        weight: Tensor = self.weight
        kind = images.device.type
        if torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind):
            half = torch.get_autocast_dtype(kind)
            images, weight = images.to(half), weight.to(half)
        if any(self.padding):
            rows, columns = self.padding
            images = F.pad(images, (columns, columns, rows, rows))
        if torch.compiler.is_exporting():  # what leaves runs where convkit is not installed
            out = _by_unfolding(images, weight, self.stride)
        else:
            out = _outputs(images, weight, self.stride)
        return out if self.bias is None else out + self.bias.to(out.dtype).permute(2, 0, 1)

    def extra_repr(self) -> str:
        return (
            f"{self.in_channels}, {self.out_channels}, image_size={self.image_size}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}, padding={self.padding}, bias={self.bias is not None}"
        )


# -- the three products, each the derivative of the others ---------------------------------------------------------
# Operators of torch's own kind, so that torch.compile takes each as one node, not as hundreds of rows.


@torch.library.custom_op("convkit::locally_connected2d", mutates_args=())
def _outputs(x: Tensor, weight: Tensor, stride: Sequence[int]) -> Tensor:
    """N×C×H×W and h×w×O×kw×kh×C to N×O×h×w."""
    h, w, O = weight.shape[:3]  # noqa: E741
    out = x.new_empty(h, w, len(x), O)
    flat = weight.reshape(h, w, O, -1)
    for i, windows in enumerate(_windows(x, (weight.shape[4], weight.shape[3]), stride)):
        torch.bmm(windows, flat[i].transpose(1, 2), out=out[i])
    return out.permute(2, 3, 0, 1)


@torch.library.custom_op("convkit::locally_connected2d_grad_weight", mutates_args=())
def _grad_weight(grad: Tensor, x: Tensor, kernel: Sequence[int], stride: Sequence[int]) -> Tensor:
    """N×O×h×w and N×C×H×W to h×w×O×kw×kh×C."""
    (_, O, h, w), C, (kh, kw) = grad.shape, x.shape[1], kernel  # noqa: E741
    by_place = grad.permute(2, 3, 0, 1).contiguous()
    out = x.new_empty(h, w, O, kw * kh * C)
    for i, windows in enumerate(_windows(x, kernel, stride)):
        torch.bmm(by_place[i].transpose(1, 2), windows, out=out[i])
    return out.view(h, w, O, kw, kh, C)


@torch.library.custom_op("convkit::locally_connected2d_grad_input", mutates_args=())
def _grad_input(grad: Tensor, weight: Tensor, size: Sequence[int], stride: Sequence[int]) -> Tensor:
    """N×O×h×w and h×w×O×kw×kh×C to N×C×H×W."""
    h, w, O, kw, kh, C = weight.shape  # noqa: E741
    (H, W), (sh, sw), N = size, stride, len(grad)
    by_place = grad.permute(2, 3, 0, 1).contiguous()
    by_column = weight.reshape(h, w, O, kw, kh * C)
    out, rows = grad.new_zeros(W, N, H, C), grad.new_empty(W, N, kh * C)
    for i in range(h):
        rows.zero_()
        for b in range(kw):
            rows[b : b + sw * w : sw].baddbmm_(by_place[i], by_column[i, :, :, b])
        out[:, :, i * sh : i * sh + kh] += rows.view(W, N, kh, C)
    return out.permute(1, 3, 2, 0)


def _windows(x: Tensor, kernel: Sequence[int], stride: Sequence[int]) -> Iterator[Tensor]:
    """For each row of the output the w×N×(kw·kh·C) windows that it sees; they share memory where they overlap."""
    (N, C, H, W), (kh, kw), (sh, sw) = x.shape, kernel, stride
    h, w = _output_size((H, W), (kh, kw), stride)
    columns_first = x.permute(0, 3, 2, 1).contiguous()
    rows = x.new_empty(N, W, kh, C)
    shape, strides = (w, N, kw * kh * C), (sw * kh * C, W * kh * C, 1)
    for i in range(h):
        rows.copy_(columns_first[:, :, i * sh : i * sh + kh])
        yield rows.as_strided(shape, strides)


@_outputs.register_fake
def _(x: Tensor, weight: Tensor, stride: Sequence[int]) -> Tensor:
    return x.new_empty(*weight.shape[:2], x.shape[0], weight.shape[2]).permute(2, 3, 0, 1)


@_grad_weight.register_fake
def _(grad: Tensor, x: Tensor, kernel: Sequence[int], stride: Sequence[int]) -> Tensor:
    _, O, h, w = grad.shape  # noqa: E741
    return x.new_empty(h, w, O, kernel[1], kernel[0], x.shape[1])


@_grad_input.register_fake
def _(grad: Tensor, weight: Tensor, size: Sequence[int], stride: Sequence[int]) -> Tensor:
    return grad.new_empty(size[1], grad.shape[0], size[0], weight.shape[-1]).permute(1, 3, 2, 0)


def _keep_tensors(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    first, second, *ctx.sizes = inputs
    ctx.save_for_backward(first, second)


def _outputs_backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    (x, weight), (stride,), (wanted_x, wanted_weight, *_) = ctx.saved_tensors, ctx.sizes, ctx.needs_input_grad
    kw, kh = weight.shape[3:5]
    grad_x = _grad_input(grad, weight, x.shape[2:], stride) if wanted_x else None
    return grad_x, _grad_weight(grad, x, (kh, kw), stride) if wanted_weight else None, None


def _grad_weight_backward(ctx: Any, outer: Tensor) -> tuple[Tensor | None, ...]:
    (grad, x), (_, stride), (wanted_grad, wanted_x, *_) = ctx.saved_tensors, ctx.sizes, ctx.needs_input_grad
    grad_x = _grad_input(grad, outer, x.shape[2:], stride) if wanted_x else None
    return _outputs(x, outer, stride) if wanted_grad else None, grad_x, None, None


def _grad_input_backward(ctx: Any, outer: Tensor) -> tuple[Tensor | None, ...]:
    (grad, weight), (_, stride), (wanted_grad, wanted_weight, *_) = ctx.saved_tensors, ctx.sizes, ctx.needs_input_grad
    kw, kh = weight.shape[3:5]
    grad_weight = _grad_weight(grad, outer, (kh, kw), stride) if wanted_weight else None
    return _outputs(outer, weight, stride) if wanted_grad else None, grad_weight, None, None


_outputs.register_autograd(_outputs_backward, setup_context=_keep_tensors)
_grad_weight.register_autograd(_grad_weight_backward, setup_context=_keep_tensors)
_grad_input.register_autograd(_grad_input_backward, setup_context=_keep_tensors)


def _by_unfolding(x: Tensor, weight: Tensor, stride: Sequence[int]) -> Tensor:
    """The same from torch's own operators: every window is copied."""
    h, w, O, kw, kh, _ = weight.shape  # noqa: E741
    windows = F.unfold(x, (kh, kw), stride=tuple(stride))
    filters = weight.permute(0, 1, 2, 5, 4, 3).reshape(h * w, O, -1)
    return torch.einsum("nkl,lok->nol", windows, filters).view(-1, O, h, w)


def _output_size(image: Sequence[int], kernel: Sequence[int], stride: Sequence[int]) -> Pair:
    h, w = ((size - k) // s + 1 for size, k, s in zip(image, kernel, stride, strict=True))
    return h, w


def _pair(size: int | Pair) -> Pair:
    return (size, size) if isinstance(size, int) else size


def _times(sizes: Sequence[int]) -> str:
    return "×".join(map(str, sizes))
