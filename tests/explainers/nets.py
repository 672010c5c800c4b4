"""Small networks whose explanations are known, or which say the same thing in several ways."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the field's own name

from convkit.convnet import Wrapped


def one_convolution() -> Wrapped:
    """captum's test model of that name, its weights and biases."""
    layers = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 4), nn.ReLU())
    with torch.no_grad():
        layers[0].weight.fill_(1.0)
        layers[0].bias.copy_(torch.tensor([-50.0, -75.0]))
        layers[3].weight.copy_(torch.cat([torch.ones(4, 5), -torch.ones(4, 3)], dim=1))
        layers[3].bias.zero_()
    return Wrapped(layers, {"conv1": "0", "relu1": "1"})


class Call(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


# Ways to write a ReLU, and a ReLU6.
FORMS: dict[str, Callable[[], nn.Module]] = {
    "nn.ReLU": nn.ReLU,
    "nn.ReLU in place": lambda: nn.ReLU(inplace=True),
    "nn.Threshold": lambda: nn.Threshold(0, 0),
    "F.relu": lambda: Call(F.relu),
    "F.relu in place": lambda: Call(lambda x: F.relu(x, inplace=True)),
    "F.relu_": lambda: Call(F.relu_),
    "F.relu by name": lambda: Call(lambda x: F.relu(input=x)),
    "F.threshold": lambda: Call(lambda x: F.threshold(x, 0.0, 0.0)),
    "torch.relu": lambda: Call(torch.relu),
    "torch.relu_": lambda: Call(torch.relu_),
    "Tensor.relu": lambda: Call(lambda x: x.relu()),
    "Tensor.relu_": lambda: Call(lambda x: x.relu_()),
    "Tensor.relu_ on a view": lambda: Call(lambda x: (x.view(-1).relu_(), x)[1]),
    "torch.clamp": lambda: Call(lambda x: torch.clamp(x, min=0)),
    "Tensor.clamp_": lambda: Call(lambda x: x.clamp_(0)),
    "Tensor.clip": lambda: Call(lambda x: x.clip(min=0.0)),
    "torch.clamp_min": lambda: Call(lambda x: torch.clamp_min(x, 0)),
}
FORMS_OF_SIX: dict[str, Callable[[], nn.Module]] = {
    "nn.ReLU6": nn.ReLU6,
    "nn.ReLU6 in place": lambda: nn.ReLU6(inplace=True),
    "F.relu6": lambda: Call(F.relu6),
    "F.hardtanh": lambda: Call(lambda x: F.hardtanh(x, 0.0, 6.0)),
    "torch.clamp": lambda: Call(lambda x: torch.clamp(x, 0, 6)),
}


def two_layers(first: nn.Module, second: nn.Module, scale: float = 1.0) -> Wrapped:
    """Rectified twice, with weights that depend on nothing but the seed; ``second`` may be ``first``."""
    torch.manual_seed(3)
    layers = nn.Sequential(nn.Conv2d(3, 8, 3), first, nn.MaxPool2d(2), nn.Conv2d(8, 6, 3), second)
    layers.extend([nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5)])
    with torch.no_grad():
        layers[0].weight.mul_(scale)
    return Wrapped(layers, {"conv1": "1", "conv2": "4", "head": "7"} if first is not second else {"head": "7"})
