"""Networks beside torchvision's of the same architecture: parameters, logits, batch statistics, gradients."""

from collections.abc import Callable
from unittest.mock import patch

import torch
from torch import Tensor, nn

from convkit.convnet import ConvNet


def parameters(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


def on_meta(architecture: Callable[..., ConvNet], *arguments: object, **options: object) -> ConvNet:
    """A network to count in: no weight is drawn, no image sent through."""
    with torch.device("meta"), patch(f"{architecture.__module__}.output_shape"):
        return architecture(*arguments, **options)


def assert_twins(ours: ConvNet, theirs: nn.Module, side: int = 64, channels: int = 3) -> None:
    """Copy torchvision's ``state_dict``, batch norm far from its initial state, and compare what comes out."""
    _randomise_batch_norm(theirs)
    assert parameters(ours) == parameters(theirs)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    images = torch.randn(2, channels, side, side)
    with torch.no_grad():
        expected = theirs.eval()(images)
        torch.testing.assert_close(ours.eval()(images), expected, atol=1e-5, rtol=1e-5)
    assert expected.std(dim=0).max() > 1e-3, "the images make no difference: there is nothing to compare"

    logits, expected = ours.train()(images), theirs.train()(images)
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-5)
    for net, output in ((ours, logits), (theirs, expected)):
        net.zero_grad()
        nn.functional.cross_entropy(output, torch.tensor([0, 1])).backward()
    for (name, buffer), other in zip(ours.named_buffers(), theirs.buffers(), strict=True):
        torch.testing.assert_close(buffer, other, msg=lambda text, name=name: f"{name}: {text}")
    gradients = {name: parameter.grad for name, parameter in theirs.named_parameters()}
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(parameter.grad, gradients[name], atol=1e-5, rtol=1e-4)


def randomise(net: nn.Module) -> None:
    """Weights that keep the scale of their input, and batch norm with statistics as after training."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)


def assert_same_logits(ours: Tensor, theirs: Tensor) -> None:
    """Equal to 1e-5 of their scale, which is no vanishing one."""
    assert theirs.std() > 0.1
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5 * max(1.0, theirs.abs().max().item()))


def _randomise_batch_norm(net: nn.Module) -> None:
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.0)
            nn.init.normal_(module.bias, std=0.1)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
