"""DenseNet beside torchvision's."""

import pytest
import torch
import torchvision
from torch import nn
from torchvision_twin import assert_twins, on_meta, parameters

from convkit.architectures.densenet import DenseNet
from convkit.start import start_from

PUBLISHED = {121: 7_978_856, 161: 28_681_000, 169: 14_149_480, 201: 20_013_928}  # torchvision's documentation


def test_equals_torchvisions_with_its_state_dict() -> None:
    assert_twins(DenseNet(10, (3, 64, 64)), torchvision.models.densenet121(num_classes=10))


@pytest.mark.parametrize("depth", PUBLISHED)
def test_every_name_and_shape_is_torchvisions(depth) -> None:
    ours = on_meta(DenseNet, 1000, (3, 64, 64), depth=depth)
    with torch.device("meta"):
        theirs = torchvision.models.get_model(f"densenet{depth}")
    shapes = {key: value.shape for key, value in theirs.state_dict().items()}
    assert {key: value.shape for key, value in ours.state_dict().items()} == shapes
    assert parameters(ours) == PUBLISHED[depth]
    assert sum(isinstance(module, nn.Conv2d | nn.Linear) for module in ours.modules()) == depth


def test_older_published_keys_load(tmp_path) -> None:
    theirs = torchvision.models.densenet121(num_classes=3).state_dict()
    old = {}
    for key, value in theirs.items():
        for kind in ("norm", "conv"):
            for number in "12":
                if "denselayer" in key:
                    key = key.replace(f".{kind}{number}.", f".{kind}.{number}.")
        old[key] = value
    assert "features.denseblock1.denselayer1.norm.1.running_mean" in old
    torch.save(old, tmp_path / "old.pth")
    net = DenseNet(3, (3, 64, 64))
    start_from(net, tmp_path / "old.pth")
    for key, value in net.state_dict().items():
        assert torch.equal(value, theirs[key]), key


def test_a_layer_hands_on_what_came_in_and_adds_growth_rate_maps() -> None:
    layer = DenseNet(10, (3, 64, 64)).features.denseblock1.denselayer1.eval()
    x = torch.randn(2, 64, 5, 5)
    out = layer(x)
    assert out.shape == (2, 64 + 32, 5, 5)
    assert torch.equal(out[:, :64], x)


def test_stages_have_the_output_sizes_of_table_1() -> None:
    net = DenseNet(1000, (3, 224, 224))
    sizes = {}
    for name in net.stages:
        net.stage(name).register_forward_hook(
            lambda module, inputs, output, name=name: sizes.update({name: tuple(output.shape[1:])})
        )
    with torch.no_grad():
        net.eval()(torch.randn(1, 3, 224, 224))
    assert sizes == {
        "conv1": (64, 112, 112),
        "dense_block1": (256, 56, 56),
        "transition1": (128, 28, 28),
        "dense_block2": (512, 28, 28),
        "transition2": (256, 14, 14),
        "dense_block3": (1024, 14, 14),
        "transition3": (512, 7, 7),
        "dense_block4": (1024, 7, 7),
        "head": (1000,),
    }
    assert list(sizes) == list(net.stages), "stages are in forward order"


def test_dropout_follows_every_convolution_but_the_first() -> None:
    net = DenseNet(10, (3, 64, 64), dropout=0.2)
    modules = [module for module in net.modules() if isinstance(module, nn.Conv2d | nn.Dropout)]
    kinds = [type(module) for module in modules if isinstance(module, nn.Dropout)]
    assert len(kinds) == sum(isinstance(module, nn.Conv2d) for module in modules) - 1
    for before, module in zip(modules[1::2], modules[2::2], strict=True):
        assert isinstance(before, nn.Conv2d)
        assert isinstance(module, nn.Dropout)
        assert module.p == 0.2


def test_an_image_that_is_too_small_is_told_the_smallest() -> None:
    with pytest.raises(ValueError, match=r"^densenet: an image of 20×20 is too small: .*; 29×29 is the smallest"):
        DenseNet(10, (3, 20, 20))
    assert DenseNet(10, (3, 29, 29)).eval()(torch.randn(1, 3, 29, 29)).shape == (1, 10)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 160}, r"^densenet: depth is one of 121, 161, 169, 201, not 160; try 161$"),
        ({"dropout": 1.0}, r"^densenet: dropout is at least 0 and below 1 \(0.2 in the paper\), not 1$"),
    ],
)
def test_a_mistake_is_one_line(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        DenseNet(10, (3, 64, 64), **options)
