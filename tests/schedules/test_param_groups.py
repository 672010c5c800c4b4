"""Which parameter learns at which rate, and which of them decay."""

from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import nn

from convkit.architectures.googlenet import GoogLeNet
from convkit.architectures.lenet import LeNet
from convkit.architectures.resnet import ResNet
from convkit.architectures.resnet_cifar import ResNetCifar
from convkit.architectures.timm import Timm
from convkit.convnet import ConvNet
from convkit.errors import UserError
from convkit.schedules.base import Schedule

NETS = {
    "lenet": lambda: LeNet(10, (1, 28, 28)),
    "resnet": lambda: ResNet(10, (3, 64, 64), depth=18),
    "googlenet": lambda: GoogLeNet(10, (3, 32, 32), stem="small", width=0.125),
    "timm": lambda: Timm(10, (3, 32, 32), "mobilenetv3_small_050"),
}


class Fixed(Schedule):
    """A stranger's: it knows nothing of the options."""

    def optimizers(self, net: ConvNet, trainer: Trainer) -> OptimizerLRScheduler:
        return torch.optim.SGD(self.param_groups(net), lr=0.1, weight_decay=0.5)


class Bare(Fixed):
    def __init__(self) -> None:
        """Calls no other constructor."""


@pytest.fixture(scope="module")
def nets() -> dict[str, ConvNet]:
    return {name: build() for name, build in NETS.items()}


@pytest.mark.parametrize("decay", ["all", "weights"])
@pytest.mark.parametrize("rates", [None, {"body": 0.01}, {"body": 0.01, "head": 0.1}, {"*.weight": 0.2, "head": 0.3}])
@pytest.mark.parametrize("name", NETS)
def test_every_parameter_once(nets: dict[str, ConvNet], name: str, rates: dict[str, float] | None, decay: Any) -> None:
    net = nets[name]
    groups = Fixed(lr=1.0, weight_decay=0.3, rates=rates, decay=decay).param_groups(net)
    found = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(found) == sorted(id(parameter) for parameter in net.parameters())
    assert {*groups[0]} == {"name", "params", "lr", "weight_decay"}
    expected = {"all": 1.0} if rates is None else {**rates, "other": 1.0}
    assert all(group["lr"] == expected[group["name"]] for group in groups)
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    left_out = {id(value) for norm in norms for value in norm.parameters()}
    left_out |= {id(value) for key, value in net.named_parameters() if key.endswith(".bias")}
    for group in groups:
        for parameter in group["params"]:
            free = decay == "weights" and id(parameter) in left_out
            assert group["weight_decay"] == (0.0 if free else 0.3)


def rate_by_parameter(net: ConvNet, rates: dict[str, float]) -> dict[str, float]:
    groups = Fixed(lr=1.0, rates=rates).param_groups(net)
    rates_of = {id(parameter): group["lr"] for group in groups for parameter in group["params"]}
    return {name: rates_of[id(parameter)] for name, parameter in net.named_parameters()}


def test_by_stage_and_pattern_the_last_that_fits() -> None:
    net = ResNetCifar(10, (3, 32, 32))
    rates = rate_by_parameter(net, {"body": 0.1, "conv[34]*": 0.2, "layer3.2": 0.3, "head": 0.4})
    for name, rate in rates.items():
        parts = {"layer3.2": 0.3, "layer2": 0.2, "layer3": 0.2, "linear": 0.4, "fc": 0.4}
        assert rate == next((value for part, value in parts.items() if name.startswith(part)), 0.1), name
    assert {*rates.values()} == {0.1, 0.2, 0.3, 0.4}


def test_auxiliary_heads_are_neither_body_nor_head(nets: dict[str, ConvNet]) -> None:
    rates = rate_by_parameter(nets["googlenet"], {"body": 0.1, "head": 0.2})
    others = {name.split(".")[0] for name, rate in rates.items() if rate == 1.0}
    assert others == {"aux1", "aux2"}
    rates = rate_by_parameter(nets["googlenet"], {"aux*": 0.5})
    assert {name.split(".")[0] for name, rate in rates.items() if rate == 0.5} == {"aux1", "aux2"}


def test_frozen_parameters_stay_in_their_group(nets: dict[str, ConvNet]) -> None:
    net = LeNet(10, (1, 28, 28))
    before = [len(group["params"]) for group in Fixed(rates={"head": 0.1}, decay="weights").param_groups(net)]
    net.requires_grad_(False)
    after = [len(group["params"]) for group in Fixed(rates={"head": 0.1}, decay="weights").param_groups(net)]
    assert before == after == [1, 1, 4, 4]


@pytest.mark.parametrize("kind", [Fixed, Bare])
def test_a_strangers_schedule_keeps_its_own_rate_and_decay(kind: type[Schedule]) -> None:
    net = LeNet(10, (1, 28, 28))
    optimizer: Any = kind().optimizers(net, Trainer(logger=False, accelerator="cpu"))
    (group,) = optimizer.param_groups
    assert (group["name"], group["lr"], group["weight_decay"]) == ("all", 0.1, 0.5)
    images, targets = torch.zeros(2, 1, 28, 28), torch.zeros(2, dtype=torch.long)
    assert kind().mixed(images, targets, 10) == (images, targets)
    assert kind().callbacks() == []


def test_a_strangers_schedule_can_be_given_the_options() -> None:
    schedule = Fixed(decay="weights", rates={"head": 0.01})
    optimizer: Any = schedule.optimizers(LeNet(10, (1, 28, 28)), Trainer(logger=False, accelerator="cpu"))
    found = [(group["name"], group["lr"], group["weight_decay"]) for group in optimizer.param_groups]
    assert found == [("head", 0.01, 0.5), ("head", 0.01, 0.0), ("other", 0.1, 0.5), ("other", 0.1, 0.0)]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"rates": {"conv9": 1.0}}, r"model\.schedule\.rates: 'conv9' is no stage, .* of LeNet; did you mean conv\d\?"),
        ({"rates": {"conv1": 1.0, "body": 0.1}}, r"rates: later keys take all of 'conv1'; put it after them"),
        ({"aux_weight": {"aux1": 0.3}}, r"aux_weight: 'aux1' is no auxiliary head of the network: none"),
    ],
)
def test_what_fits_nothing(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        Fixed(**options).param_groups(LeNet(10, (1, 28, 28)))
