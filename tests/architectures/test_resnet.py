"""ResNet beside torchvision's; the five orders of the residual unit beside the formulas of He et al. 2016b."""

from collections import OrderedDict

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the field's own name
from torch.overrides import TorchFunctionMode
from torchvision_twin import assert_twins, on_meta, parameters

from convkit.architectures.residual_unit import ORDERS, PaddedIdentity, ResidualUnit, basic, bottleneck
from convkit.architectures.resnet import ResNet
from convkit.convnet import ConvNet

PUBLISHED = {18: 11_689_512, 34: 21_797_672, 50: 25_557_032, 101: 44_549_160, 152: 60_192_808}  # torchvision's docs

# He et al. 2016b, Fig. 4 (a) to (e), from top to bottom
FIGURE_4 = {
    "original": ["weight", "BN", "ReLU", "weight", "BN", "addition", "ReLU"],
    "batch_norm_after_addition": ["weight", "BN", "ReLU", "weight", "addition", "BN", "ReLU"],
    "relu_before_addition": ["weight", "BN", "ReLU", "weight", "BN", "ReLU", "addition"],
    "relu_only_preactivation": ["ReLU", "weight", "BN", "ReLU", "weight", "BN", "addition"],
    "full_preactivation": ["BN", "ReLU", "weight", "BN", "ReLU", "weight", "addition"],
}
KINDS = {nn.BatchNorm2d: "BN", nn.ReLU: "ReLU"}


def _on_meta(**options: object) -> ConvNet:
    return on_meta(ResNet, 1000, (3, 64, 64), **options)


@pytest.mark.parametrize("depth", [18, 50])
def test_equals_torchvisions_with_its_state_dict(depth: int) -> None:
    assert_twins(ResNet(10, (3, 64, 64), depth=depth), torchvision.models.get_model(f"resnet{depth}", num_classes=10))


@pytest.mark.parametrize("depth", PUBLISHED)
def test_every_name_and_shape_is_torchvisions(depth: int) -> None:
    ours = _on_meta(depth=depth)
    with torch.device("meta"):
        theirs = torchvision.models.get_model(f"resnet{depth}")
    shapes = [(key, value.shape) for key, value in theirs.state_dict().items()]
    assert [(key, value.shape) for key, value in ours.state_dict().items()] == shapes
    assert parameters(ours) == PUBLISHED[depth]


def test_depth_counts_the_convolutions_and_the_last_layer_of_the_plain_net() -> None:
    for depth in PUBLISHED:
        net = _on_meta(depth=depth, residual=False)
        assert sum(isinstance(module, nn.Conv2d | nn.Linear) for module in net.modules()) == depth


def test_the_papers_stride_is_in_the_first_convolution_of_a_bottleneck() -> None:
    def strides(net: ConvNet) -> list[int]:
        unit = net.layer2[0]
        return [convolution.stride[0] for convolution in (unit.conv1, unit.conv2, unit.conv3, unit.downsample[0])]

    assert strides(_on_meta()) == [1, 2, 1, 2]
    assert strides(_on_meta(stride_at="1x1")) == [2, 1, 1, 2]
    assert _on_meta(stride_at="1x1").state_dict().keys() == _on_meta().state_dict().keys()


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
        net = _on_meta(depth=18, unit=unit)
        return [] if net.last is None else [type(module) for module in net.last]

    assert {unit: last(unit) for unit in ORDERS} == {
        "original": [],
        "batch_norm_after_addition": [],
        "relu_before_addition": [],
        "relu_only_preactivation": [nn.ReLU],
        "full_preactivation": [nn.BatchNorm2d, nn.ReLU],
    }


def test_shortcuts_cost_what_their_projections_cost() -> None:
    # He et al. 2016a, Table 3 compares A, B, C at 34 layers
    plain = parameters(_on_meta(depth=34, residual=False))
    added = {
        shortcut: parameters(_on_meta(depth=34, shortcut=shortcut)) - plain
        for shortcut in ("identity", "projection", "projection_everywhere")
    }
    changing = [(64, 128), (128, 256), (256, 512)]
    same = [64] * 3 + [128] * 3 + [256] * 5 + [512] * 2
    cost_changing = sum(maps_in * maps + 2 * maps for maps_in, maps in changing)
    assert added == {
        "identity": 0,
        "projection": cost_changing,
        "projection_everywhere": cost_changing + sum(maps * maps + 2 * maps for maps in same),
    }


def test_the_plain_net_has_no_shortcut() -> None:
    net = ResNet(10, (3, 32, 32), depth=18, residual=False, shortcut="projection_everywhere")
    assert not any("downsample" in name for name, _ in net.named_modules())
    for unit in (unit for layer in (net.layer1, net.layer2, net.layer3, net.layer4) for unit in layer):
        nn.init.zeros_(unit.bn2.weight)  # the branch is silent, and nothing else carries the image on
    logits = net.eval()(torch.randn(2, 3, 32, 32))
    assert torch.equal(logits[0], logits[1])


def test_option_a_adds_zeros_on_both_sides() -> None:
    x = torch.randn(2, 3, 5, 4)
    out = PaddedIdentity(3, 2)(x)
    assert out.shape == (2, 6, 3, 2)
    assert torch.equal(out[:, 1:4], x[:, :, ::2, ::2])
    assert not out[:, [0, 4, 5]].any()


@pytest.mark.parametrize("unit", ORDERS)
@pytest.mark.parametrize("options", [{}, {"shortcut": "identity"}, {"shortcut": "projection_everywhere"},
                                     {"residual": False}])  # fmt: skip
def test_the_gradient_reaches_every_parameter(unit: str, options: dict[str, object]) -> None:
    net = ResNet(3, (1, 32, 48), depth=18, unit=unit, stem="cifar", **options)
    F.cross_entropy(net(torch.randn(3, 1, 32, 48)), torch.tensor([0, 1, 2])).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize(
    ("stem", "side", "sides"),
    [("imagenet", 224, [112, 56, 28, 14, 7]), ("cifar", 32, [32, 32, 16, 8, 4])],  # He et al. 2016a, Table 1
)
def test_stages_have_the_papers_output_sizes_in_forward_order(stem: str, side: int, sides: list[int]) -> None:
    net, seen = ResNet(10, (3, side, side), depth=18, stem=stem), OrderedDict()
    for name in net.stages:
        net.stage(name).register_forward_hook(
            lambda module, inputs, output, name=name: seen.update({name: tuple(output.shape[1:])})
        )
    with torch.no_grad():
        net.eval()(torch.randn(1, 3, side, side))
    maps = [64, 64, 128, 256, 512]
    expected = {f"conv{index}": (m, s, s) for index, (m, s) in enumerate(zip(maps, sides, strict=True), start=1)}
    assert list(seen.items()) == [*expected.items(), ("head", (10,))]
    assert list(net.stages) == list(seen)


def test_initialisation_is_torchvisions() -> None:
    net = ResNet(10, (3, 64, 64), depth=18)
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.out_channels * module.kernel_size[0] ** 2
            assert module.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.05)
        elif isinstance(module, nn.BatchNorm2d):
            assert (module.weight == 1).all(), "no unit begins as an identity"
            assert (module.bias == 0).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 49}, r"^resnet: depth is one of 18, 34, 50, 101, 152, not 49; try 50$"),
        ({"shortcut": "projections"}, r"^resnet: there is no shortcut 'projections'; did you mean projection\?$"),
        ({"shortcut": "B"}, r"^resnet: there is no shortcut 'B'; choose from identity, projection, projection_every"),
        ({"unit": "full_pre_activation"}, r"^resnet: there is no unit 'full_pre_activation'; did you mean full_preact"),
        ({"stride_at": "1x1x1"}, r"^resnet: there is no stride_at '1x1x1'; did you mean 1x1\?$"),
        ({"stem": "cifar10"}, r"^resnet: there is no stem 'cifar10'; did you mean cifar\?$"),
    ],
)
def test_a_mistake_is_one_line(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ResNet(10, (3, 64, 64), **options)
