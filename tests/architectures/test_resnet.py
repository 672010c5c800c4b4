"""ResNet beside torchvision's, and the paper's comparisons: plain nets and shortcuts A, B, C."""

from collections import OrderedDict

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F  # noqa: N812 - the field's own name
from torchvision_twin import assert_twins, on_meta, parameters

from convkit.architectures.residual_unit import ORDERS
from convkit.architectures.resnet import ResNet
from convkit.convnet import ConvNet

PUBLISHED = {18: 11_689_512, 34: 21_797_672, 50: 25_557_032, 101: 44_549_160, 152: 60_192_808}  # torchvision's docs


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
