"""The locally connected layer against other ways to compute it. Run: python benchmarks/locally_connected.py

Each line is a layer of DeepFace (Taigman et al. 2014) or of a small network; each figure is a way's time for a forward
and a backward pass as a multiple of the layer's own in the same round, the median of the rounds, with the smallest and
the largest. The ways take turns within a round, so that a busy machine slows all of them. Above 1 the layer is faster.

    einsum    the peer: F.unfold, then einsum over locations, as most posts on PyTorch's forum have it
    bmm       F.unfold, then one batched product with the weights location first
    windows   all windows copied, batched products, own backward pass that copies them anew and adds up by offsets
    fold      the layer's way forward; backward by one product a row, then adding its windows up column by column
    offsets   one batched product a kernel offset on shifted images, weights offset first
    conv      nn.Conv2d of the same size, weights shared: what the freedom costs
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the field's own name

from convkit.locally_connected import LocallyConnected2d


class Case(NamedTuple):
    images: int
    maps: int
    side: int
    kernel: int
    stride: int
    maps_out: int


CASES = {
    "L4 of DeepFace, 32 images": Case(32, 16, 63, 9, 1, 16),
    "L5 of DeepFace, 32 images": Case(32, 16, 55, 7, 2, 16),
    "L6 of DeepFace, 32 images": Case(32, 16, 25, 5, 1, 16),
    "L6 of DeepFace, 128 images": Case(128, 16, 25, 5, 1, 16),
    "L5 of DeepFace, 1 image": Case(1, 16, 55, 7, 2, 16),
    "5×5 on CIFAR, 32 images": Case(32, 3, 32, 5, 1, 16),
    "3×3, 64 maps, 32 images": Case(32, 64, 16, 3, 1, 64),
}
Way = tuple[Callable[[Tensor], Tensor], Tensor]  # images to outputs, and the weights


def einsum(filters: Tensor, case: Case) -> Way:
    h, _, maps_out = filters.shape[:3]
    weight = filters.reshape(h * h, maps_out, -1).detach().requires_grad_()

    def run(x: Tensor) -> Tensor:
        windows = F.unfold(x, case.kernel, stride=case.stride)
        return torch.einsum("nkl,lok->nol", windows, weight).unflatten(2, (h, h))

    return run, weight


def bmm(filters: Tensor, case: Case) -> Way:
    h, _, maps_out = filters.shape[:3]
    weight = filters.reshape(h * h, maps_out, -1).detach().requires_grad_()

    def run(x: Tensor) -> Tensor:
        windows = F.unfold(x, case.kernel, stride=case.stride).permute(2, 0, 1)
        return torch.bmm(windows, weight.mT).permute(1, 2, 0).unflatten(2, (h, h))

    return run, weight


class Windows(torch.autograd.Function):
    """Weights h×w×O×kw×kh×C."""

    @staticmethod
    def windows(x: Tensor, k: int, s: int) -> Tensor:
        by_place = x.permute(0, 3, 2, 1).unfold(1, k, s).unfold(2, k, s).permute(2, 1, 0, 4, 5, 3)
        return by_place.reshape(by_place.shape[0] * by_place.shape[1], len(x), -1)

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        h, w, _, k = weight.shape[:4]
        out = torch.bmm(Windows.windows(x, k, stride), weight.flatten(0, 1).flatten(2).mT)
        return out.unflatten(0, (h, w)).permute(2, 3, 0, 1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        (h, w, _, k), s = weight.shape[:4], ctx.stride
        by_place = grad.permute(2, 3, 0, 1).flatten(0, 1).contiguous()
        windows = Windows.windows(x, k, s)
        grad_weight = torch.bmm(by_place.mT, windows).view(weight.shape)
        N, C, H, W = x.shape
        by_offset = torch.bmm(by_place, weight.flatten(0, 1).flatten(2), out=windows).view(h, w, N, k, k, C)
        grad_x = x.new_zeros(H, W, N, C)
        for b in range(k):
            for a in range(k):
                grad_x[a : a + s * h : s, b : b + s * w : s] += by_offset[:, :, :, b, a]
        return grad_x.permute(2, 3, 0, 1), grad_weight, None


class Fold(torch.autograd.Function):
    """Weights h×w×O×kw×kh×C."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        return torch.ops.convkit.locally_connected2d(x, weight, (stride, stride))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        (h, w, _, k), s = weight.shape[:4], ctx.stride
        grad_weight = torch.ops.convkit.locally_connected2d_grad_weight(grad, x, (k, k), (s, s))
        N, C, H, W = x.shape
        by_place, flat = grad.permute(2, 3, 0, 1).contiguous(), weight.flatten(3)
        grad_x, rows, product = x.new_zeros(W, N, H, C), x.new_empty(W, N, k * C), x.new_empty(w, N, k * k * C)
        for i in range(h):
            torch.bmm(by_place[i], flat[i], out=product)
            rows.zero_()
            for b in range(k):
                rows[b : b + s * w : s] += product[:, :, b * k * C : (b + 1) * k * C]
            grad_x[:, :, i * s : i * s + k] += rows.view(W, N, k, C)
        return grad_x.permute(1, 3, 2, 0), grad_weight, None


class Offsets(torch.autograd.Function):
    """Weights kh×kw×h×w×C×O."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        k, _, h, w, C, maps_out = weight.shape
        by_place, N = x.permute(2, 3, 0, 1).contiguous(), len(x)
        out = x.new_zeros(h * w, N, maps_out)
        for a in range(k):
            for b in range(k):
                shifted = by_place[a : a + stride * h : stride, b : b + stride * w : stride]
                out.baddbmm_(shifted.reshape(h * w, N, C), weight[a, b].flatten(0, 1))
        return out.unflatten(0, (h, w)).permute(2, 3, 0, 1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        (k, _, h, w, C, _), s, N = weight.shape, ctx.stride, len(x)
        by_place, grads = x.permute(2, 3, 0, 1).contiguous(), grad.permute(2, 3, 0, 1).flatten(0, 1).contiguous()
        grad_x, grad_weight = torch.zeros_like(by_place), torch.empty_like(weight)
        for a in range(k):
            for b in range(k):
                window = (slice(a, a + s * h, s), slice(b, b + s * w, s))
                shifted = by_place[window].reshape(h * w, N, C)
                torch.bmm(shifted.mT, grads, out=grad_weight[a, b].flatten(0, 1))
                grad_x[window] += torch.bmm(grads, weight[a, b].flatten(0, 1).mT).view(h, w, N, C)
        return grad_x.permute(2, 3, 0, 1), grad_weight, None


def ways(case: Case) -> dict[str, Way]:
    """Every way to compute one layer, with the same weights; ``conv`` has one location's."""
    layer = LocallyConnected2d(case.maps, case.maps_out, case.side, case.kernel, case.stride, bias=False)
    convolution = nn.Conv2d(case.maps, case.maps_out, case.kernel, case.stride, bias=False)
    location_first = layer.weight.detach().clone().requires_grad_()
    offset_first = layer.filters.detach().permute(4, 5, 0, 1, 3, 2).contiguous().requires_grad_()
    return {
        "layer": (layer, layer.weight),
        "einsum": einsum(layer.filters, case),
        "bmm": bmm(layer.filters, case),
        "windows": (lambda x: Windows.apply(x, location_first, case.stride), location_first),
        "fold": (lambda x: Fold.apply(x, location_first, case.stride), location_first),
        "offsets": (lambda x: Offsets.apply(x, offset_first, case.stride), offset_first),
        "conv": (convolution, convolution.weight),
    }


def check(found: dict[str, Way], x: Tensor) -> None:
    """Every way but the convolution gives the peer's outputs and its gradient on the images."""
    expected = found["einsum"][0](x)
    grad = torch.randn_like(expected)
    (expected_grad,) = torch.autograd.grad(expected, x, grad)
    for name, (run, _) in found.items():
        if name != "conv":
            out = run(x)
            torch.testing.assert_close(out, expected, rtol=1e-3, atol=1e-3, msg=name)
            torch.testing.assert_close(torch.autograd.grad(out, x, grad)[0], expected_grad, rtol=1e-3, atol=1e-3)


def measure(case: Case, rounds: int) -> dict[str, list[float]]:
    """Seconds of each way in each round, after one round to warm up."""
    x = torch.randn(case.images, case.maps, case.side, case.side, requires_grad=True)
    found = ways(case)
    check(found, x)
    seconds: dict[str, list[float]] = {name: [] for name in found}
    for _ in range(rounds):
        for name, (run, weight) in found.items():
            start = time.perf_counter()
            out = run(x)
            torch.autograd.grad(out, (x, weight), torch.ones_like(out))
            seconds[name].append(time.perf_counter() - start)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    print(f"time over the layer's own, forward and backward, {options.threads} thread(s), {options.rounds} rounds:")
    for title, case in CASES.items():
        seconds = measure(case, options.rounds)
        own = seconds.pop("layer")
        parts = []
        for name, times in seconds.items():
            ratios = [theirs / ours for theirs, ours in zip(times, own, strict=True)]
            parts.append(f"{name} {statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})")
        print(f"{title}: {'  '.join(parts)}", flush=True)


if __name__ == "__main__":
    main()
