"""Each clause of the contract tells the plugin that breaks it, in a sentence with what to do; a whole one passes."""

from typing import Any

import numpy as np
import pytest
import torch
from telling import assert_told
from torch import Tensor, nn

from convkit import ConvNet
from convkit.explainers.base import input_gradient, subject
from convkit.testing import explainer

Shape = tuple[int, int, int]


def gradient(net: ConvNet, images: Tensor, targets: Tensor, scale: float = 1.0) -> Tensor:
    """Keeps the contract."""
    with subject(net, images, targets) as at:
        return input_gradient(at) * scale


def flat(net: ConvNet, images: Tensor, targets: Tensor) -> Tensor:
    return gradient(net, images, targets).sum((1, 2, 3))


def bare(net: ConvNet, images: Tensor, targets: Tensor, scale: float) -> Tensor:
    return gradient(net, images, targets, scale)


def nothing(net: ConvNet, images: Tensor, targets: Tensor) -> Tensor:
    return gradient(net, images, targets) * 0


def smooth(net: ConvNet, images: Tensor, targets: Tensor) -> Tensor:
    return gradient(net, images + torch.randn_like(images), targets)


def leaves_gradients(net: ConvNet, images: Tensor, targets: Tensor) -> Tensor:
    own = images.clone().requires_grad_()
    net(own).gather(1, targets[:, None]).sum().backward()
    assert own.grad is not None
    return own.grad


def leaves_a_mode(net: ConvNet, images: Tensor, targets: Tensor) -> Tensor:
    net.eval()
    return gradient(net, images, targets)


def leaves_a_hook(net: ConvNet, images: Tensor, targets: Tensor) -> Tensor:
    net.stage("conv1").register_forward_hook(lambda *_: None)
    return gradient(net, images, targets)


def leaves_an_option(net: ConvNet, images: Tensor, targets: Tensor) -> Tensor:
    for module in net.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    return gradient(net, images, targets)


def leaves_another_module(net: ConvNet, images: Tensor, targets: Tensor) -> Tensor:
    net.inner[2] = nn.Softplus()  # type: ignore[index, operator]
    return gradient(net, images, targets)


def leaves_another_forward(net: ConvNet, images: Tensor, targets: Tensor) -> Tensor:
    net.forward = type(net).forward.__get__(net)  # type: ignore[method-assign]
    return gradient(net, images, targets)


def leaves_a_hook_of_a_tensor(net: ConvNet, images: Tensor, targets: Tensor) -> Tensor:
    next(net.parameters()).register_hook(lambda grad: grad)
    return gradient(net, images, targets)


def leaves_other_targets(net: ConvNet, images: Tensor, targets: Tensor) -> Tensor:
    found = gradient(net, images, targets)
    targets.zero_()
    return found


def leaves_numpys_state(net: ConvNet, images: Tensor, targets: Tensor) -> Tensor:
    np.random.rand()
    return gradient(net, images, targets)


def leaves_autograd_off(net: ConvNet, images: Tensor, targets: Tensor) -> Tensor:
    torch.set_grad_enabled(True)
    found = gradient(net, images, targets)
    torch.set_grad_enabled(False)
    return found


def leaves_a_hook_behind_an_error(net: ConvNet, images: Tensor, targets: Tensor) -> Tensor:
    hook = net.stage("conv1").register_forward_hook(lambda *_: None)
    found = gradient(net, images, targets)
    hook.remove()
    return found


def swallows(net: ConvNet, images: Tensor, targets: Tensor) -> Tensor:
    try:
        return gradient(net, images, targets)
    except RuntimeError:
        return torch.ones_like(images)


def without_inference(net: ConvNet, images: Tensor, targets: Tensor) -> Tensor:
    before = {module: module.training for module in net.modules()}
    net.eval()
    try:
        own = images.clone().requires_grad_()
        (found,) = torch.autograd.grad(net(own).gather(1, targets[:, None]).sum(), own)
    finally:
        for module, training in before.items():
            module.training = training
    return found


BROKEN: list[tuple[Any, str, str]] = [
    (bare, "target", "the option scale has no default"),
    (flat, "shape", "returns (2,) for images of (2, 3, 16, 16)"),
    (nothing, "shape", "returns 0 everywhere"),
    (smooth, "repeats", "draw from a generator with a seed"),
    (leaves_gradients, "no trace", "changes .grad"),
    (leaves_a_mode, "no trace", "changes modes"),
    (leaves_a_hook, "no trace", "changes hooks"),
    (leaves_an_option, "no trace", "changes what a module holds"),
    (leaves_another_module, "no trace", "changes which modules it has"),
    (leaves_another_forward, "no trace", "changes what a module holds"),
    (leaves_a_hook_of_a_tensor, "no trace", "changes hooks"),
    (leaves_other_targets, "no trace", "changes the targets"),
    (leaves_numpys_state, "no trace", "changes numpy's random state"),
    (leaves_autograd_off, "no trace", "leaves autograd switched"),
    (leaves_a_hook_behind_an_error, "after an exception", "changes hooks"),
    (swallows, "after an exception", "swallows the network's own error"),
    (without_inference, "in inference", "fails in torch.inference_mode"),
]
WHOLE = [gradient]


@pytest.mark.parametrize(("target", "clause", "line"), BROKEN)
def test_a_broken_one_is_told(target: Any, clause: str, line: str) -> None:
    assert_told(explainer.examine(target), clause, line)


@pytest.mark.parametrize("target", WHOLE)
def test_a_whole_one_passes(target: Any) -> None:
    assert [outcome for outcome in explainer.examine(target) if outcome.held is not True] == []


def test_every_clause_has_one_that_breaks_it() -> None:
    assert {clause.name for clause in explainer.CLAUSES} - {clause for _, clause, _ in BROKEN} == set()
