"""Nothing of a network or of its process is afterwards as it was not before: what every explainer runs in."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def untouched(net: nn.Module, device: torch.device) -> Iterator[None]:
    """Evaluation mode with gradients, whatever surrounds it; all as before at the end, also after an exception.

    Left alone or put back: each module's own mode, batch statistics, ``requires_grad``, ``.grad``, random state. It
    works inside ``torch.inference_mode``, as Lightning's validation is, under autocast (in full precision: a cast made
    without a graph would stay in autocast's cache) and on what torch.compile has translated (without the translation).
    """
    modes = [(module, module.training) for module in net.modules()]
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(torch.autocast(device.type, enabled=False))
        stack.enter_context(_same_random_state(device))
        if "torch._dynamo" in sys.modules:  # else nothing is compiled, and to import it takes seconds
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        stack.enter_context(_without_inference_tensors(net))
        try:
            net.eval()
            yield
        finally:
            for module, mode in modes:
                module.training = mode


def _same_random_state(device: torch.device) -> "torch.random.fork_rng":  # type: ignore[valid-type]
    if device.type == "cpu":
        return torch.random.fork_rng(devices=[])
    return torch.random.fork_rng(devices=[device.index or 0], device_type=device.type)


@contextmanager
def _without_inference_tensors(net: nn.Module) -> Iterator[None]:
    """Copies in place of weights that were made in inference mode, which autograd refuses to save."""
    replaced: list[tuple[dict[str, Tensor | None], str, Tensor]] = []
    copies: dict[Tensor, Tensor] = {}
    for module in net.modules():
        for store in (module._parameters, module._buffers):
            for name, tensor in store.items():
                if tensor is not None and tensor.is_inference():
                    replaced.append((store, name, tensor))  # type: ignore[arg-type]
                    copies.setdefault(tensor, tensor.detach().clone())
    try:
        for store, name, tensor in replaced:
            store[name] = copies[tensor]
        yield
    finally:
        for store, name, tensor in replaced:
            store[name] = tensor
