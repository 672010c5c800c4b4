"""LeNet-5, against its parameter count and a plain functional re-implementation."""

from typing import Literal

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the field's own name

from convkit.architectures.lenet import LeNet

Activation = Literal["relu", "tanh"]
Pooling = Literal["max", "average"]


def plain(net: LeNet, x: Tensor, activation: Activation, pooling: Pooling) -> Tensor:
    act = {"relu": torch.relu, "tanh": torch.tanh}[activation]
    pool = {"max": F.max_pool2d, "average": F.avg_pool2d}[pooling]
    weights = net.state_dict()
    for name in ("conv1", "conv3"):
        x = pool(act(F.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"])), 2)
    x = x.reshape(len(x), -1)
    for name in ("fc5", "fc6"):
        x = act(x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"])
    return x @ weights["fc7.weight"].T + weights["fc7.bias"]


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("pooling", ["max", "average"])
@pytest.mark.parametrize("shape", [(1, 32, 32), (3, 16, 45)])
def test_computes_what_it_says(activation: Activation, pooling: Pooling, shape: tuple[int, int, int]) -> None:
    net, images = LeNet(7, shape, activation, pooling), torch.randn(3, *shape)
    with torch.no_grad():
        torch.testing.assert_close(net(images), plain(net, images, activation, pooling))


def test_parameters() -> None:
    # conv1 156, conv3 2,416, fc5 48,120, fc6 10,164, fc7 850
    assert sum(parameter.numel() for parameter in LeNet(10, (1, 32, 32)).parameters()) == 61_706


def test_stages_are_activations_in_forward_order() -> None:
    net = LeNet(10, (1, 32, 32))
    assert dict(net.stages) == {"conv1": "act1", "conv3": "act3", "fc5": "act5", "fc6": "act6", "head": "fc7"}
    called: list[str] = []
    outputs: dict[str, Tensor] = {}

    def hook(name: str) -> None:
        def keep(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            called.append(name)
            outputs[name] = output

        net.stage(name).register_forward_hook(keep)

    for name in net.stages:
        hook(name)
    logits = net(torch.randn(2, 1, 32, 32))
    assert called == list(net.stages)
    assert torch.equal(outputs["head"], logits)
    assert all(outputs[name].min() == 0 for name in called[:-1])
    assert [tuple(output.shape[1:]) for output in outputs.values()] == [(6, 28, 28), (16, 10, 10), (120,), (84,), (10,)]


@pytest.mark.parametrize("shape", [(1, 15, 15), (1, 15, 40), (3, 40, 8), (1, 1, 1)])
def test_too_small(shape: tuple[int, int, int]) -> None:
    said = f"^lenet: an image of {shape[1]}×{shape[2]} is too small: .*; 16×16 is the smallest that works$"
    with pytest.raises(ValueError, match=said):
        LeNet(10, shape)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"activation": "tahn"}, "lenet: there is no activation 'tahn'; did you mean tanh"),
        ({"pooling": "mean"}, "lenet: there is no pooling 'mean'; choose from average, max"),
    ],
)
def test_unknown_options(options: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        LeNet(10, (1, 32, 32), **options)  # type: ignore[arg-type]
