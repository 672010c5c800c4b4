"""timm's optimizers, by name, on our parameter groups."""

import re
from typing import Any

import pytest
import torch
from timm.optim import create_optimizer_v2

from convkit.architectures.lenet import LeNet
from convkit.schedules.horizon import Horizon
from convkit.schedules.timm import Timm


@pytest.mark.parametrize(
    ("name", "options"), [("adamw", {"betas": [0.8, 0.99]}), ("sgd", {"nesterov": False}), ("lamb", {}), ("muon", {})]
)
def test_three_steps_are_timms_own(name: str, options: dict[str, Any]) -> None:
    """On groups that timm makes itself: weights decay, biases do not."""
    torch.manual_seed(1)
    ours, theirs = LeNet(10, (1, 28, 28)), LeNet(10, (1, 28, 28))
    theirs.load_state_dict(ours.state_dict())
    schedule = Timm(name, lr=0.01, weight_decay=0.1, decay="weights", options=options)
    one = schedule.optimizer(schedule.param_groups(ours))
    other = create_optimizer_v2(theirs, name, lr=0.01, weight_decay=0.1, **options)
    images = torch.rand(8, 1, 28, 28)
    for _ in range(3):
        for net, optimizer in ((ours, one), (theirs, other)):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(net(images), torch.arange(8)).backward()
            optimizer.step()
    for value, expected in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(value, expected)
    decays = {group["weight_decay"]: len(group["params"]) for group in one.param_groups}
    assert decays == {0.1: 5, 0.0: 5}


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("adamm", {}, "timm has no optimizer 'adamm'; did you mean adam"),
        ("adahessian", {}, "timm: adahessian needs second derivatives, which are not computed in training"),
        ("adamw", {"lr": 1.0}, "timm: lr is an option of the schedule, not of adamw"),
        ("adamw", {"beta": 1}, "timm: adamw cannot be made with {'beta': 1}: AdamW.__init__() got an unexpected"),
        ("adamw", {"betas": [2, 2]}, "timm: adamw cannot be made with {'betas': [2, 2]}: Invalid beta"),
    ],
)
def test_bad_names_and_options(name: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)) as raised:
        Timm(name, options=options)
    assert "\n" not in str(raised.value)


def test_the_rate_is_whole_until_it_falls() -> None:
    horizon = Horizon(epoch=10, end=40, warmup=20)
    assert Timm("adamw").factor(horizon, 20) == 1.0
    assert Timm("adamw").factor(horizon, 30) == pytest.approx(0.5)
