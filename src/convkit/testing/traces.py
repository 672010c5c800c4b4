"""What code that looks at a network could leave behind: in it, in its images, in the process."""

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules import module as modules

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
GLOBAL_HOOKS = ("_global_forward_hooks", "_global_forward_pre_hooks", "_global_backward_hooks")


def state(net: nn.Module, images: Tensor, targets: Tensor) -> dict[str, Any]:
    """By what it is called in a sentence; tensors are copies."""
    tensors = {**dict(net.named_parameters()), **dict(net.named_buffers())}
    named = dict(net.named_modules())
    return {
        "parameters or buffers": {name: each.detach().clone() for name, each in tensors.items()},
        ".grad": {name: None if each.grad is None else each.grad.clone() for name, each in tensors.items()},
        "requires_grad": {name: each.requires_grad for name, each in tensors.items()},
        "which tensors it has": {name: id(each) for name, each in tensors.items()},
        "modes": {name: module.training for name, module in named.items()},
        "which modules it has": {name: (id(module), type(module).__name__) for name, module in named.items()},
        "what a module holds": {name: _held(module) for name, module in named.items()},
        "hooks": {name: [len(getattr(module, kind)) for kind in HOOKS] for name, module in named.items()}
        | {name: len(each._backward_hooks or ()) for name, each in net.named_parameters()},
        "hooks of all modules": [len(getattr(modules, kind)) for kind in GLOBAL_HOOKS],
        "the images": images.detach().clone(),
        "the images' requires_grad": images.requires_grad,
        "the targets": targets.clone(),
        "torch's random state": torch.get_rng_state(),
        "numpy's random state": str(np.random.get_state(legacy=False)),
        "Python's random state": random.getstate(),
        "torch's switches": (
            torch.are_deterministic_algorithms_enabled(), torch.is_inference_mode_enabled(),
            torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic, torch.get_default_dtype(),
            torch.get_num_threads(),
        ),
    }  # fmt: skip


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """What is another than it was."""
    return [name for name, value in before.items() if not _same(value, after[name])]


def _held(module: nn.Module) -> dict[str, str]:
    """Plain attributes, such as ``inplace``, and a method that was put over the class's."""
    own = {name: value for name, value in vars(module).items() if not name.startswith("_") and name != "training"}
    return {name: repr(value) if not isinstance(value, Tensor) else str(id(value)) for name, value in own.items()}


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return one.shape == other.shape and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(value, other[key]) for key, value in one.items())
    return bool(one == other)
