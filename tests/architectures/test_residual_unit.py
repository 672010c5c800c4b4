"""The five orders of the residual unit beside the figure and the formulas of He et al. 2016b."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the field's own name
from torch.overrides import TorchFunctionMode
from torchvision_twin import on_meta

from convkit.architectures.residual_unit import ORDERS, PaddedIdentity, ResidualUnit, basic, bottleneck
from convkit.architectures.resnet import ResNet

# He et al. 2016b, Fig. 4 (a) to (e), from top to bottom
FIGURE_4 = {
    "original": ["weight", "BN", "ReLU", "weight", "BN", "addition", "ReLU"],
    "batch_norm_after_addition": ["weight", "BN", "ReLU", "weight", "addition", "BN", "ReLU"],
    "relu_before_addition": ["weight", "BN", "ReLU", "weight", "BN", "ReLU", "addition"],
    "relu_only_preactivation": ["ReLU", "weight", "BN", "ReLU", "weight", "BN", "addition"],
    "full_preactivation": ["BN", "ReLU", "weight", "BN", "ReLU", "weight", "addition"],
}
KINDS = {nn.BatchNorm2d: "BN", nn.ReLU: "ReLU"}


@pytest.mark.parametrize("unit", FIGURE_4)
def test_the_order_of_a_unit_is_the_figures(unit: str) -> None:
    net, seen = ResidualUnit(basic(8, 8, 1), ORDERS[unit], "identity"), []
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.BatchNorm2d | nn.ReLU):
            module.register_forward_hook(lambda module, *_: seen.append(KINDS.get(type(module), "weight")))

    class Additions(TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            if func is Tensor.add:
                seen.append("addition")
            return func(*args, **(kwargs or {}))

    with Additions():
        net(torch.randn(2, 8, 6, 6))
    assert seen == FIGURE_4[unit]


def _weight(convolution: nn.Conv2d):
    return lambda x: F.conv2d(x, convolution.weight, stride=convolution.stride, padding=convolution.padding)


def _batch_norm(module: nn.BatchNorm2d):
    def normalise(x: Tensor) -> Tensor:
        var, mean = torch.var_mean(x, dim=(0, 2, 3), keepdim=True, correction=0)
        return (x - mean) / (var + 1e-5).sqrt() * module.weight[:, None, None] + module.bias[:, None, None]

    return normalise


def relu(x: Tensor) -> Tensor:
    return x.clamp(min=0)


# x + F(x) of Fig. 4, with two weights; h is the shortcut where it is no projection
FORMULAS = {
    "original": lambda x, h, w1, w2, b1, b2: relu(h(x) + b2(w2(relu(b1(w1(x)))))),
    "batch_norm_after_addition": lambda x, h, w1, w2, b1, b2: relu(b2(h(x) + w2(relu(b1(w1(x)))))),
    "relu_before_addition": lambda x, h, w1, w2, b1, b2: h(x) + relu(b2(w2(relu(b1(w1(x)))))),
    "relu_only_preactivation": lambda x, h, w1, w2, b1, b2: h(x) + b2(w2(relu(b1(w1(relu(x)))))),
    "full_preactivation": lambda x, h, w1, w2, b1, b2: h(x) + w2(relu(b2(w1(relu(b1(x)))))),
}


def _double(module: nn.Module) -> nn.Module:
    for inner in module.modules():
        if isinstance(inner, nn.BatchNorm2d):
            nn.init.uniform_(inner.weight, 0.5, 1.5)
            nn.init.normal_(inner.bias)
    return module.double()


@pytest.mark.parametrize("unit", FORMULAS)
@pytest.mark.parametrize(("maps", "stride"), [(6, 1), (10, 2)])
def test_a_unit_computes_its_formula(unit: str, maps: int, stride: int) -> None:
    net = _double(ResidualUnit(basic(6, maps, stride), ORDERS[unit], "identity"))
    x = torch.randn(2, 6, 7, 7).double()
    given = x.clone()

    def h(x: Tensor) -> Tensor:
        if stride == 1:
            return x
        padded = torch.zeros(2, 10, 4, 4).double()
        padded[:, 2:8] = x[:, :, ::2, ::2]
        return padded

    parts = _weight(net.conv1), _weight(net.conv2), _batch_norm(net.bn1), _batch_norm(net.bn2)
    torch.testing.assert_close(net(x), FORMULAS[unit](given, h, *parts))
    assert torch.equal(x, given), "a unit leaves its input as it is: the shortcut of another layer may need it"


@pytest.mark.parametrize("unit", ["relu_only_preactivation", "full_preactivation"])
def test_a_preactivated_projection_shares_the_activation(unit: str) -> None:
    net = _double(ResidualUnit(bottleneck(8, 4, 2, inner=32), ORDERS[unit], "projection"))
    x = torch.randn(2, 8, 6, 6).double()
    w1, w2, w3 = _weight(net.conv1), _weight(net.conv2), _weight(net.conv3)
    b1, b2, b3 = (_batch_norm(module) for module in (net.bn1, net.bn2, net.bn3))
    project = _weight(net.downsample[0])
    if unit == "full_preactivation":
        a = relu(b1(x))
        expected = project(a) + w3(relu(b3(w2(relu(b2(w1(a)))))))
    else:
        a = relu(x)
        expected = _batch_norm(net.downsample[1])(project(a)) + b3(w3(relu(b2(w2(relu(b1(w1(a))))))))
    torch.testing.assert_close(net(x), expected)


def test_full_preactivation_activates_once_after_conv1_and_once_after_the_last_unit() -> None:
    # He et al. 2016b, appendix
    net = _double(ResNet(5, (3, 32, 32), depth=18, unit="full_preactivation"))
    images = torch.randn(2, 3, 32, 32).double()
    x = relu(_batch_norm(net.bn1)(_weight(net.conv1)(images)))
    x = F.max_pool2d(x, 3, 2, 1)
    for layer in (net.layer1, net.layer2, net.layer3, net.layer4):
        for unit in layer:
            if unit is net.layer1[0]:
                x = x + _weight(unit.conv2)(relu(_batch_norm(unit.bn1)(_weight(unit.conv1)(x))))
                continue
            a = relu(_batch_norm(unit.bn1)(x))
            y = _weight(unit.conv2)(relu(_batch_norm(unit.bn2)(_weight(unit.conv1)(a))))
            x = y + (_weight(unit.downsample[0])(a) if unit is layer[0] else x)
    x = relu(_batch_norm(net.last[0])(x)).mean(dim=(2, 3))
    torch.testing.assert_close(net(images), x @ net.fc.weight.T + net.fc.bias)
    assert sum(p.numel() for p in net.parameters()) == sum(
        module.weight.numel() + (0 if module.bias is None else module.bias.numel())
        for module in net.modules()
        if isinstance(module, nn.Conv2d | nn.BatchNorm2d | nn.Linear)
    ), "the formula above used every kind of module that has parameters"


def test_only_preactivation_has_a_last_activation() -> None:
    def last(unit: str) -> list[type]:
        net = on_meta(ResNet, 10, (3, 64, 64), depth=18, unit=unit)
        return [] if net.last is None else [type(module) for module in net.last]

    assert {unit: last(unit) for unit in ORDERS} == {
        "original": [],
        "batch_norm_after_addition": [],
        "relu_before_addition": [],
        "relu_only_preactivation": [nn.ReLU],
        "full_preactivation": [nn.BatchNorm2d, nn.ReLU],
    }


def test_option_a_adds_zeros_on_both_sides() -> None:
    x = torch.randn(2, 3, 5, 4)
    out = PaddedIdentity(3, 2)(x)
    assert out.shape == (2, 6, 3, 2)
    assert torch.equal(out[:, 1:4], x[:, :, ::2, ::2])
    assert not out[:, [0, 4, 5]].any()
