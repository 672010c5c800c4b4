"""ResNeXt beside torchvision's."""

import pytest
import torch
import torchvision
from torch import nn
from torchvision_twin import assert_twins, on_meta, parameters

from convkit.architectures.resnext import ResNeXt
from convkit.convnet import ConvNet


def _on_meta(**options: object) -> ConvNet:
    return on_meta(ResNeXt, 1000, (3, 64, 64), **options)


def test_equals_torchvisions_with_its_state_dict() -> None:
    assert_twins(ResNeXt(10, (3, 64, 64)), torchvision.models.resnext50_32x4d(num_classes=10))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("resnext50_32x4d", {"depth": 50, "cardinality": 32, "width": 4}),
        ("resnext101_32x8d", {"depth": 101, "cardinality": 32, "width": 8}),
        ("resnext101_64x4d", {"depth": 101, "cardinality": 64, "width": 4}),
        ("resnet50", {"depth": 50, "cardinality": 1, "width": 64}),
        ("resnet101", {"depth": 101, "cardinality": 1, "width": 64}),
    ],
)
def test_every_name_and_shape_is_torchvisions(name, options) -> None:
    with torch.device("meta"):
        theirs = torchvision.models.get_model(name)
    shapes = {key: value.shape for key, value in theirs.state_dict().items()}
    assert {key: value.shape for key, value in _on_meta(**options).state_dict().items()} == shapes


@pytest.mark.parametrize(("cardinality", "width"), [(1, 64), (2, 40), (4, 24), (8, 14), (32, 4)])
def test_the_nets_of_table_2_cost_the_same(cardinality, width) -> None:
    # Xie et al. 2017, §3.4: a template of about 70k parameters for 256 maps, C·(256·d + 3·3·d·d + d·256)
    unit = _on_meta(cardinality=cardinality, width=width).layer1[1]
    convolutions = [module for module in unit.modules() if isinstance(module, nn.Conv2d)]
    weights = sum(parameters(convolution) for convolution in convolutions)
    assert weights == cardinality * (256 * width + 9 * width * width + width * 256)
    assert weights == pytest.approx(70_000, rel=0.03)


def test_without_shortcuts_the_units_layers_are_all_that_is_left() -> None:
    net = _on_meta(residual=False)
    assert not any("downsample" in name for name, _ in net.named_modules())
    full = _on_meta()
    shortcuts = [parameters(module) for name, module in full.named_modules() if name.endswith("downsample")]
    assert parameters(net) == parameters(full) - sum(shortcuts)


def test_gray_images_that_are_not_square() -> None:
    net = ResNeXt(7, (1, 40, 72), cardinality=4, width=4)
    assert net(torch.randn(2, 1, 40, 72)).shape == (2, 7)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 152}, r"^resnext: depth is one of 50, 101, not 152; try 101$"),
        ({"cardinality": 0}, r"^resnext: cardinality is 1 or more, not 0; the paper's usual net is 32×4d$"),
        ({"width": -4}, r"^resnext: width is 1 or more, not -4; the paper's usual net is 32×4d$"),
    ],
)
def test_a_mistake_is_one_line(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        ResNeXt(10, (3, 64, 64), **options)
