"""What a policy or a name freezes, against lists written out from the papers' layers; and what is refused."""

from typing import Any

import pytest
import torch

from convkit import plugins
from convkit.callbacks.freeze_plan import AUTO, Plan, frozen_by, kinds, make_plan, policy_for, selected
from convkit.callbacks.freezing import Freezing
from convkit.convnet import ConvNet
from convkit.errors import UserError
from convkit.parts import parameters_of, parts

PHOTOGRAPH, SMALL = (3, 224, 224), (3, 32, 32)


def built(architecture: str, shape: tuple[int, int, int] = PHOTOGRAPH, /, **options: Any) -> ConvNet:
    with torch.device("meta"):  # names alone matter
        net: ConvNet = plugins.load(plugins.find("architecture", architecture))(10, shape, **options)
    return net


def learning_stages(net: ConvNet, policy: str) -> list[str]:
    """Those of which every parameter learns; the others are frozen as a whole."""
    frozen = frozen_by(net, policy)
    of_stage = {stage: set(parameters_of(net, paths)) for stage, paths in parts(net).items()}
    assert all(members <= frozen or not members & frozen for members in of_stage.values())
    return [stage for stage, members in of_stage.items() if not members & frozen]


ALEXNET = ("alexnet", PHOTOGRAPH, {})
RESNET = ("resnet", PHOTOGRAPH, {"depth": 18})
LENET = ("lenet", (1, 32, 32), {})
VGG = ("vgg", SMALL, {"variant": "A", "batch_norm": True, "dense_width": 64, "pooled_size": 1})
GOOGLENET = ("googlenet", SMALL, {"stem": "small", "width": 0.125})


@pytest.mark.parametrize(
    ("net", "policy", "learning"),
    [
        (ALEXNET, "few", ["head"]),
        (ALEXNET, "some", ["fc6", "fc7", "head"]),
        (ALEXNET, "more", ["conv4", "conv5", "fc6", "fc7", "head"]),
        (ALEXNET, "all", ["conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "head"]),
        (RESNET, "few", ["head"]),
        (RESNET, "some", ["conv5", "head"]),
        (RESNET, "more", ["conv4", "conv5", "head"]),
        (RESNET, "all", ["conv1", "conv2", "conv3", "conv4", "conv5", "head"]),
        (LENET, "some", ["fc5", "fc6", "head"]),
        (LENET, "more", ["conv3", "fc5", "fc6", "head"]),
        (VGG, "some", ["fc6", "fc7", "head"]),
        (VGG, "more", ["conv4_1", "conv4_2", "conv5_1", "conv5_2", "fc6", "fc7", "head"]),
        (GOOGLENET, "some", ["inception5b", "head"]),
        (GOOGLENET, "more", [*(f"inception{name}" for name in ("4b", "4c", "4d", "4e", "5a", "5b")), "head"]),
    ],
    ids=str,
)
def test_a_policy_lets_learn_what_the_lecture_says(net: tuple[Any, ...], policy: str, learning: list[str]) -> None:
    name, shape, options = net
    assert learning_stages(built(name, shape, **options), policy) == learning


def test_blocks_of_dense_layers_are_no_dense_stages() -> None:
    net = built("timm", name="vit_tiny_patch16_224")
    assert kinds(net).dense == []
    assert kinds(net).convolutional[-1] == [*net.stages][-2]


def test_auxiliary_heads_lie_below_the_head() -> None:
    net = built("googlenet", SMALL, stem="small", width=0.125)
    for policy in ("few", "some", "more"):
        assert {"aux1", "aux2"}.isdisjoint(learning_stages(net, policy))
    assert {"aux1", "aux2"} <= set(learning_stages(net, "all"))
    everything = {name for name, _ in net.named_parameters()}
    assert selected(net, ["body"], "freeze") == everything - {"fc.weight", "fc.bias"}
    assert selected(net, ["aux1"], "freeze") == {name for name in everything if name.startswith("aux1.")}


@pytest.mark.parametrize(("images", "classes"), [(20, 2), (10, 1), (100, 2), (101, 2), (300, 2), (301, 2), (10**6, 10)])
def test_auto_goes_by_the_images_of_a_class(images: int, classes: int) -> None:
    of_a_class, wanted = images / classes, "all"
    for most, policy in reversed(AUTO):
        wanted = policy if of_a_class <= most else wanted
    assert policy_for(images, classes) == wanted
    assert [policy for _, policy in AUTO] == ["few", "some", "more", "all"]
    assert [most for most, _ in AUTO] == sorted(most for most, _ in AUTO)


def plan(net: ConvNet, freeze: list[str], thaw: Any = (), stalls: Any = ()) -> Plan:
    return make_plan(net, selected(net, freeze, "Freezing.freeze"), dict(thaw), list(stalls))


def test_when_each_parameter_begins_to_learn() -> None:
    net = built("lenet", (1, 32, 32))
    by_epoch = plan(net, ["body"], {2: ["fc6", "fc5"], 5: ["*.bias"]})
    until = {name: by_epoch.until(name) for name, _ in net.named_parameters()}
    assert until == {
        "conv1.weight": "for ever", "conv1.bias": "epoch 6", "conv3.weight": "for ever", "conv3.bias": "epoch 6",
        "fc5.weight": "epoch 3", "fc5.bias": "epoch 3", "fc6.weight": "epoch 3", "fc6.bias": "epoch 3",
        "fc7.weight": "", "fc7.bias": "",
    }  # fmt: skip
    assert by_epoch.for_ever == {"conv1.weight", "conv3.weight"}
    at_stalls = plan(net, ["body"], (), ["fc*", "body"])
    assert [at_stalls.until(name) for name in ("fc6.bias", "conv1.bias", "fc7.bias")] == ["stall 1", "stall 2", ""]
    assert not at_stalls.for_ever


@pytest.mark.parametrize(
    ("freeze", "thaw", "stalls", "message"),
    [
        (["conv9"], {}, [], "Freezing.freeze: 'conv9' is no stage, module or parameter of LeNet; did you mean conv3?"),
        (["body"], {3: ["fc9"]}, [], "Freezing.thaw 3: 'fc9' is no stage, module or parameter of LeNet"),
        (["body"], {}, ["nothing*"], "Freezing.thaw_when_stalled: 'nothing*' is no stage"),
        (["conv1"], {3: ["conv3"]}, [], "Freezing.thaw 3: 'conv3' is not frozen by then, and cannot thaw; leave it"),
        (["body"], {1: ["conv1"], 2: ["conv1"]}, [], "Freezing.thaw 2: 'conv1' is not frozen by then"),
        (["body"], {1: ["conv1", "conv1"]}, [], "Freezing.thaw 1: 'conv1' is not frozen by then"),
        (["body"], {}, ["body", "conv1"], "Freezing.thaw_when_stalled: 'conv1' is not frozen by then"),
        (["body", "head"], {}, [], "Freezing freezes all of LeNet: nothing is left to learn; leave out 'head'"),
        (["*"], {1: ["head"]}, [], "Freezing freezes all of LeNet: nothing is left to learn"),
    ],
)
def test_what_does_not_fit_the_network(freeze: list[str], thaw: Any, stalls: list[str], message: str) -> None:
    with pytest.raises(UserError) as error:
        plan(built("lenet", (1, 32, 32)), freeze, thaw, stalls)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_a_parameter_that_never_learns_is_not_frozen_and_does_not_count() -> None:
    net = built("lenet", (1, 32, 32))
    net.get_parameter("conv1.weight").requires_grad_(False)
    assert plan(net, ["conv1"]).frozen == {"conv1.bias"}
    with pytest.raises(UserError, match="nothing is left to learn"):
        plan(net, ["body", "head"])


def test_a_policy_needs_a_head() -> None:
    net = built("lenet", (1, 32, 32))
    net.stages = {name: path for name, path in net.stages.items() if name != "head"}
    with pytest.raises(UserError, match=r"policy few: LeNet has no stage 'head'; name stages in freeze"):
        frozen_by(net, "few")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "Freezing wants either freeze"),
        ({"freeze": "body", "policy": "few"}, "Freezing wants either freeze"),
        ({"policy": "few", "thaw": {3: ["conv5"], 2: ["body"]}}, "goes back from epoch 3 to 2"),
        ({"policy": "few", "thaw": {0: ["conv5"]}}, "cannot thaw after 0"),
        ({"policy": "few", "thaw": {1: "conv5"}, "thaw_when_stalled": ["body"]}, "not by both"),
        ({"policy": "few", "patience": -1}, "patience is a number of validations and cannot be -1"),
    ],
)
def test_options_that_no_network_could_take(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Freezing(**options)
