"""Two networks that should be one: the same weights and statistics, none of them at a value that hides a mistake."""

import torch
from torch import Tensor, nn


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


def parameters(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())
