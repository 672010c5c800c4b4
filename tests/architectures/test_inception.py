"""Inception v3 against torchvision, its paper's table and plain functions."""

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F  # noqa: N812 - the field's own name
from torchvision_twin import assert_same_logits, parameters, randomise

from convkit.architectures.inception import MIXED, AuxPool, InceptionV3


@pytest.fixture(scope="module")
def twins():
    torch.manual_seed(0)
    theirs = torchvision.models.Inception3(7, init_weights=False, dropout=0.0)
    randomise(theirs)
    ours = InceptionV3(7, (3, 75, 75), dropout=0.0)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return ours, theirs


@pytest.mark.parametrize("size", [(75, 75), (80, 111)])
def test_evaluation_equals_torchvision(twins, size):
    ours, theirs = twins
    images = torch.randn(2, 3, *size)
    with torch.no_grad():
        assert_same_logits(ours.eval()(images), theirs.eval()(images))


def test_training_equals_torchvision_with_its_head(twins):
    ours, theirs = twins
    images = torch.randn(2, 3, 299, 299)
    with torch.no_grad():  # statistics of the batch, as while training; the gradients are those of equal functions
        returned, expected = ours.train()(images), theirs.train()(images)
    assert_same_logits(returned.logits, expected.logits)
    assert_same_logits(returned.aux["aux"], expected.aux_logits)


def test_transform_input_equals_torchvision():
    theirs = torchvision.models.Inception3(7, init_weights=False, aux_logits=False, transform_input=True)
    randomise(theirs)
    ours = InceptionV3(7, (3, 75, 75), aux=False, transform_input=True)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    images = torch.randn(2, 3, 75, 75)
    with torch.no_grad():
        assert_same_logits(ours.eval()(images), theirs.eval()(images))


def test_as_many_parameters_as_torchvision():
    with torch.device("meta"):
        theirs = torchvision.models.Inception3(1000, init_weights=False)
        ours = InceptionV3(1000, (3, 299, 299))
    assert parameters(ours) == parameters(theirs) == 27_161_264
    ours.drop_aux()
    assert parameters(ours) == 23_834_568


def test_table_1():
    """Grids and maps of the paper's network at 299×299, on the meta device."""
    with torch.device("meta"):
        net = InceptionV3(1000, (3, 299, 299)).eval()
        shapes = {}
        for name in net.stages:
            net.stage(name).register_forward_hook(lambda _m, _i, out, name=name: shapes.update({name: out.shape[1:]}))
        net(torch.empty(1, 3, 299, 299))
    assert list(shapes) == list(net.stages)
    assert shapes["Conv2d_1a_3x3"] == (32, 149, 149)
    assert shapes["Conv2d_2a_3x3"] == (32, 147, 147)
    assert shapes["Conv2d_2b_3x3"] == (64, 147, 147)
    grids = {"5": 35, "6": 17, "7": 8}
    maps = {"5b": 256, "5c": 288, "5d": 288, "7a": 1280, "7b": 2048, "7c": 2048}
    for name in MIXED:
        side = grids[name[6]]
        assert shapes[name] == (maps.get(name[6:], 768), side, side), name


def test_aux_pool_is_torchvision_s_where_5x5_is_left_and_makes_5x5_where_not():
    for side in (17, 18, 25):
        x = torch.randn(1, 2, side, side + 1)
        assert torch.equal(AuxPool()(x), F.avg_pool2d(x, 5, 3))
    for height, width in ((1, 1), (3, 16), (16, 30)):
        assert AuxPool()(torch.randn(1, 2, height, width)).shape == (1, 2, 5, 5)


@pytest.mark.parametrize("image", [(3, 75, 75), (1, 96, 131)])
def test_head_works_below_299(image):
    net = InceptionV3(4, image, width=0.1)
    assert net(torch.randn(2, *image)).aux["aux"].shape == (2, 4)


def test_small_form():
    net = InceptionV3(10, (1, 28, 28), stem="small", width=0.125)
    assert net.Conv2d_1a_3x3.conv.weight.shape == (4, 1, 3, 3)
    sizes = {}
    for name in ("Conv2d_4a_3x3", "Mixed_5d", "Mixed_6e", "Mixed_7c"):
        net.stage(name).register_forward_hook(lambda _m, _i, out, name=name: sizes.update({name: out.shape[2]}))
    returned = net(torch.randn(2, 1, 28, 28))
    assert sizes == {"Conv2d_4a_3x3": 28, "Mixed_5d": 13, "Mixed_6e": 6, "Mixed_7c": 2}
    assert returned.logits.shape == returned.aux["aux"].shape == (2, 10)


def test_initialisation_is_torchvision_s():
    """But for one layer: torchvision notes the 0.01 of the head's 5×5 convolution where its loop does not look."""
    torch.manual_seed(0)
    theirs = torchvision.models.Inception3(10, init_weights=True)
    ours = InceptionV3(10, (3, 75, 75))
    state = ours.state_dict()
    for name, module in theirs.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            expected = 0.01 if name == "AuxLogits.conv1.conv" else module.weight.std().item()
            assert state[f"{name}.weight"].std().item() == pytest.approx(expected, rel=0.1), name


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stem": "imagnet"}, "inception_v3: there is no stem 'imagnet'; did you mean imagenet?"),
        ({"width": -1.0}, "inception_v3: width multiplies the number of maps and cannot be -1.0; try 0.25"),
        ({"transform_input": True, "image_shape": (1, 99, 99)}, "inception_v3: transform_input is for the 3 channels"),
        ({"image_shape": (3, 64, 64)}, "inception_v3: an image of 64×64 is too small: Mixed_7a.*; 75×75 is the smalle"),
    ],
)
def test_mistakes_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        InceptionV3(**{"num_classes": 10, "image_shape": (3, 99, 99), **options})
