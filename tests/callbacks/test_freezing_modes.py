"""Which modules are in evaluation mode, written out; and that they compute what they do in evaluation."""

from typing import Any

import pytest
import torch
from small_fits import SHAPE, Small
from torch import nn

from convkit import plugins
from convkit.callbacks.freeze_plan import frozen_by, selected
from convkit.callbacks.resting import Resting, resting
from convkit.convnet import ConvNet, as_outputs


def built(architecture: str, shape: tuple[int, int, int], /, **options: Any) -> ConvNet:
    net: ConvNet = plugins.load(plugins.find("architecture", architecture))(10, shape, **options)
    return net


def freeze(net: ConvNet, *names: str) -> frozenset[str]:
    frozen = selected(net, names, "freeze")
    for name, parameter in net.named_parameters():
        parameter.requires_grad_(name not in frozen)
    return frozen


IN_CONV1 = ["conv1", "conv1.conv", "conv1.norm", "conv1.relu"]
IN_CONV2 = ["conv2", "conv2.conv", "conv2.norm", "conv2.relu"]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], []),
        (["conv1"], IN_CONV1),
        (["conv2"], IN_CONV2),
        (["fc3"], ["classifier.0", "classifier.1", "classifier.2", "classifier.3"]),  # what lies below the head with it
        (["head"], ["classifier.4"]),
        (["body"], [*IN_CONV1, *IN_CONV2, *(f"classifier.{i}" for i in range(4)), "aux"]),
        (["fc3", "head"], ["classifier", *(f"classifier.{i}" for i in range(5))]),  # the container too
        (["conv1.norm"], ["conv1.norm"]),  # a module on its own
        (["*.bias"], []),  # part of each module learns
        (["*norm.bias", "conv1.norm.weight"], ["conv1.norm"]),
        (["early"], ["aux"]),
    ],
)
def test_what_rests(names: list[str], expected: list[str]) -> None:
    net = Small(4, SHAPE)
    assert resting(net, freeze(net, *names)) == expected


def test_statistics_rest_everywhere_when_they_are_to_be_kept() -> None:
    net = Small(4, SHAPE)
    assert resting(net, freeze(net), statistics=True) == ["conv1.norm", "conv2.norm"]
    assert resting(net, freeze(net, "conv1"), statistics=True) == [*IN_CONV1, "conv2.norm"]
    assert resting(Small(4, SHAPE, norm=nn.InstanceNorm2d), frozenset(), statistics=True) == []  # it keeps none


def test_layers_without_parameters_go_with_their_stage() -> None:
    net = Small(4, SHAPE, norm=lambda maps: nn.BatchNorm2d(maps, affine=False))
    assert resting(net, freeze(net, "conv1")) == IN_CONV1
    net.stages = {"conv1": "conv1.conv", "pool": "conv1.relu", **{k: v for k, v in net.stages.items() if k != "conv1"}}
    assert resting(net, freeze(net, "conv1")) == IN_CONV1  # a stage without any, with the one below
    first = {"nothing": "classifier.0", **net.stages}
    net.stages = {name: path for name, path in first.items() if name != "conv1"}
    assert resting(net, freeze(net)) == []


def test_what_never_learned_has_no_say() -> None:
    net = Small(4, SHAPE)
    freeze(net)
    net.conv1.conv.weight.requires_grad_(False)
    net.conv1.conv.bias.requires_grad_(False)
    assert resting(net, frozenset()) == []
    frozen = frozenset({"conv1.norm.weight", "conv1.norm.bias"})
    for name in frozen:
        net.get_parameter(name).requires_grad_(False)
    assert resting(net, frozen) == IN_CONV1


CASES = [
    ("googlenet", (3, 32, 32), {"stem": "small", "width": 0.125, "variant": "bn_inception"}),
    ("densenet_cifar", (3, 16, 16), {"depth": 10, "dropout": 0.5}),
    ("timm", (3, 32, 32), {"name": "mobilenetv2_100", "options": {"drop_path_rate": 0.5}}),
    ("timm", (3, 64, 64), {"name": "convnext_atto", "options": {"drop_path_rate": 0.5, "ls_init_value": 1.0}}),
    ("vgg", (3, 32, 32), {"variant": "A", "batch_norm": True, "dense_width": 16, "pooled_size": 1}),
]


@pytest.mark.parametrize(("name", "shape", "options"), CASES, ids=[case[0] for case in CASES])
def test_a_frozen_body_gives_the_head_what_evaluation_gives_it(
    name: str, shape: tuple[int, int, int], options: dict[str, Any]
) -> None:
    net, images = built(name, shape, **options), torch.randn(4, *shape)
    in_training = as_outputs(net(images)).logits  # and the statistics are no longer those that it began with
    evaluated = net.eval()(images)
    assert not torch.allclose(in_training, evaluated, atol=1e-3)
    net.train()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    frozen = frozen_by(net, "few")
    for key in frozen:
        net.get_parameter(key).requires_grad_(False)
    modes = Resting()
    modes.settle(net, frozen)
    outputs = as_outputs(net(images))
    assert torch.equal(outputs.logits, evaluated)
    assert not [key for key, value in net.state_dict().items() if not torch.equal(value, before[key])]
    assert set(outputs.aux) == set(net.aux_heads)  # the network itself knows that it trains
    assert not any(logits.requires_grad for logits in outputs.aux.values())
    modes.release()
    assert all(module.training for module in net.modules())


def test_modes_are_held_whatever_others_do_and_end_with_it() -> None:
    net = Small(4, SHAPE)
    modes = Resting()
    modes.settle(net, freeze(net, "body"))
    net.train()
    modes.hold()
    assert [path for path, module in net.named_modules() if module.training] == ["", "classifier", "classifier.4"]
    modes.settle(net, freeze(net, "conv1"))  # the rest wakes
    assert [path for path, module in net.named_modules() if not module.training] == IN_CONV1
    assert not net.aux._forward_pre_hooks
    modes.release()
    assert all(module.training for module in net.modules())


def test_a_frozen_auxiliary_head_teaches_the_body_nothing() -> None:
    net = Small(4, SHAPE, dropout=0.0)
    images = torch.randn(8, *SHAPE)
    freeze_head = Resting()
    freeze_head.settle(net, freeze(net, "early"))
    outputs = net(images)
    (outputs.logits.sum() + outputs.aux["early"].sum()).backward()
    gradients = {name: each.grad.clone() for name, each in net.named_parameters() if each.grad is not None}
    assert set(gradients) == {name for name, _ in net.named_parameters() if not name.startswith("aux.")}
    net.zero_grad()
    net(images).logits.sum().backward()
    assert all(torch.equal(value, net.get_parameter(name).grad) for name, value in gradients.items())
