"""What an explainer could leave behind, and whether it has."""

from typing import Any

import torch
from torch import Tensor, nn

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def state_of(net: nn.Module) -> dict[str, Any]:
    """Modes, hooks, parameters and buffers (the very tensors, and their values), gradients, random state."""
    tensors = {**dict(net.named_parameters()), **dict(net.named_buffers())}
    return {
        "modes": [module.training for module in net.modules()],
        "hooks": [len(getattr(module, hooks)) for module in net.modules() for hooks in HOOKS],
        "identities": {name: id(tensor) for name, tensor in tensors.items()},
        "values": {name: tensor.detach().clone() for name, tensor in tensors.items()},
        "requires_grad": {name: tensor.requires_grad for name, tensor in tensors.items()},
        "gradients": {name: None if tensor.grad is None else tensor.grad.clone() for name, tensor in tensors.items()},
        "random": torch.get_rng_state(),
        "grad_mode": (torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.is_autocast_enabled("cpu")),
    }


def assert_same(before: Any, after: Any, where: str = "") -> None:
    if isinstance(before, dict):
        assert before.keys() == after.keys(), where
        for key in before:
            assert_same(before[key], after[key], f"{where}.{key}")
    elif isinstance(before, Tensor):
        assert torch.equal(before, after), where
    else:
        assert before == after, where
