"""The rate of every schedule at every step, computed plainly, and as torch's own policies have it."""

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.optim import SGD
from torch.optim.lr_scheduler import CosineAnnealingLR, ExponentialLR, LRScheduler, MultiStepLR, OneCycleLR
from torch.optim.lr_scheduler import PolynomialLR as TorchPolynomial

from convkit.architectures.lenet import LeNet
from convkit.errors import UserError
from convkit.schedules.base import Schedule
from convkit.schedules.cosine import Cosine
from convkit.schedules.horizon import Horizon
from convkit.schedules.inception import Inception
from convkit.schedules.one_cycle import OneCycle
from convkit.schedules.polynomial import Polynomial
from convkit.schedules.steps import Steps
from convkit.schedules.timm import Timm

EPOCH, EPOCHS = 10, 6
END = EPOCH * EPOCHS


def trainer(batches: float = EPOCH, gathered: int = 1, end: float = END) -> Any:
    """As much of a Trainer as a policy asks."""
    return SimpleNamespace(
        num_training_batches=batches,
        accumulate_grad_batches=gathered,
        estimated_stepping_batches=end,
        fit_loop=SimpleNamespace(setup_data=lambda: None),
        ckpt_path=None,
    )


def run(schedule: Schedule, steps: int = END) -> tuple[np.ndarray, np.ndarray]:
    """steps+1 × groups rates, and the momentum of the first group: before each step, and after the last."""
    configured: Any = schedule.optimizers(LeNet(10, (1, 28, 28)), trainer())
    optimizer, rate = configured["optimizer"], configured["lr_scheduler"]["scheduler"]
    assert configured["lr_scheduler"]["interval"] == "step"
    assert [group["name"] for group in optimizer.param_groups] == ["body", "other"]
    history, momentum = [], []
    for _ in range(steps + 1):
        history.append([group["lr"] for group in optimizer.param_groups])
        momentum.append(optimizer.param_groups[0].get("momentum"))
        optimizer.step()
        rate.step()
    return np.array(history), np.array(momentum)


def climb(step: int, warmup: int, then: float) -> float:
    return (step + 1) / (warmup + 1) if step < warmup else then


def milestones(step: int) -> float:
    return climb(step, 15, 1.0 if step < 20 else 0.1 if step < 45 else 0.01)


def cosine(step: int, warmup: int = 15, end: float = 0.1) -> float:
    return climb(step, warmup, end + (1 - end) * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (END - warmup))))


def cycle(step: int) -> float:
    top, last = 0.25 * END - 1, END - 1
    if step <= top:
        return 1 / 20 + (1 - 1 / 20) * step / top
    return 1 + (1 / 20 / 100 - 1) * min((step - top) / (last - top), 1)


@pytest.mark.parametrize(
    ("schedule", "options", "plain"),
    [
        (Steps, {"milestones": [2, 4.5], "warmup_epochs": 1.5}, milestones),
        (Steps, {"milestones": [20, 45], "unit": "steps", "warmup_epochs": 1.5}, milestones),
        (Cosine, {"end": 0.1, "warmup_epochs": 1.5}, cosine),
        (Polynomial, {"warmup_epochs": 1.5}, lambda step: climb(step, 15, (1 - (step - 15) / 45) ** 0.5)),
        (Polynomial, {"power": 2}, lambda step: (1 - step / END) ** 2),
        (Inception, {"warmup_epochs": 0.5}, lambda step: climb(step, 5, 0.94 ** (step // 20))),
        (OneCycle, {"rise": 0.25, "first": 20, "last": 100, "shape": "linear"}, cycle),
        (Timm, {"optimizer": "adamw", "warmup_epochs": 1.5}, lambda step: cosine(step, end=0.0)),
        (Timm, {"optimizer": "lamb", "policy": "linear"}, lambda step: 1 - step / END),
        (Timm, {"optimizer": "lion", "policy": "constant"}, lambda step: 1.0),
    ],
)
def test_against_the_formula(schedule: Any, options: dict[str, Any], plain: Callable[[int], float]) -> None:
    """Relative rates stay: each group's own, times the same factor."""
    rates, _ = run(schedule(lr=0.5, rates={"body": 0.02}, **options))
    expected = np.array([[0.02 * plain(step), 0.5 * plain(step)] for step in range(END + 1)])
    np.testing.assert_allclose(rates, expected, rtol=1e-12, atol=1e-15)


def as_torch(policy: Callable[[SGD], LRScheduler], steps: int) -> tuple[np.ndarray, np.ndarray]:
    weights = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    optimizer = SGD([{"params": [weight], "lr": lr} for weight, lr in zip(weights, (0.02, 0.5), strict=True)], 0, 0.9)
    rate = policy(optimizer)
    history, momentum = [], []
    for _ in range(steps):
        history.append([group["lr"] for group in optimizer.param_groups])
        momentum.append(optimizer.param_groups[0]["momentum"])
        optimizer.step()
        rate.step()
    return np.array(history), np.array(momentum)


def one_cycle(strategy: str) -> Callable[[SGD], LRScheduler]:
    return lambda sgd: OneCycleLR(sgd, [0.02, 0.5], END, anneal_strategy=strategy)


@pytest.mark.parametrize(
    ("schedule", "policy"),
    [
        (Steps(lr=0.5, rates={"body": 0.02}, milestones=[2, 4]), lambda sgd: MultiStepLR(sgd, [20, 40])),
        (Cosine(lr=0.5, rates={"body": 0.02}), lambda sgd: CosineAnnealingLR(sgd, END)),
        (Polynomial(lr=0.5, rates={"body": 0.02}), lambda sgd: TorchPolynomial(sgd, END, 0.5)),
        (Inception(lr=0.5, rates={"body": 0.02}, every=0.1), lambda sgd: ExponentialLR(sgd, 0.94)),
        (OneCycle(lr=0.5, rates={"body": 0.02}), one_cycle("cos")),
        (OneCycle(lr=0.5, rates={"body": 0.02}, shape="linear"), one_cycle("linear")),
    ],
    ids=["steps", "cosine", "polynomial", "inception", "one_cycle", "one_cycle linear"],
)
def test_against_torchs_own(schedule: Schedule, policy: Callable[[SGD], LRScheduler]) -> None:
    rates, momentum = run(schedule, END - 1)
    expected, its_momentum = as_torch(policy, END)
    np.testing.assert_allclose(rates, expected, rtol=1e-9, atol=1e-14)
    if isinstance(schedule, OneCycle):
        np.testing.assert_allclose(momentum, its_momentum, rtol=1e-12)
        assert momentum.min() == pytest.approx(0.85, abs=1e-3)


@pytest.mark.parametrize(
    ("schedule", "group"),
    [
        (Steps(), {"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-4, "nesterov": False}),
        (Cosine(), {"lr": 0.05, "momentum": 0.9, "weight_decay": 5e-4, "nesterov": True}),
        (Polynomial(), {"lr": 0.01, "momentum": 0.9, "weight_decay": 2e-4}),
        (Inception(), {"lr": 0.045, "alpha": 0.9, "eps": 1.0, "weight_decay": 0.0}),
        (OneCycle(), {"initial_lr": 0.1, "lr": 0.1 / 25, "momentum": 0.95, "weight_decay": 1e-4}),
    ],
)
def test_the_papers_values(schedule: Schedule, group: dict[str, Any]) -> None:
    configured: Any = schedule.optimizers(LeNet(10, (1, 28, 28)), trainer())
    (found,) = configured["optimizer"].param_groups
    assert {name: found[name] for name in group} == pytest.approx(group)
    if isinstance(schedule, Inception):
        assert (schedule.label_smoothing, schedule.aux_weight) == (0.1, 0.3)


def test_rmsprop_as_tensorflow_has_it() -> None:
    """Szegedy et al. 2016, §8, and TensorFlow's RMSPropOptimizer: ε inside the root, mean squares that begin at 1."""
    net = LeNet(10, (1, 28, 28))
    configured: Any = Inception(weight_decay=0.01, momentum=0.9).optimizers(net, trainer())
    weight = net.fc7.weight
    plain, mean_square, momentum = weight.detach().double(), 1.0, 0.0
    for step in range(1, 4):
        configured["optimizer"].zero_grad()
        (step * weight).sum().backward()
        configured["optimizer"].step()
        gradient = step + 0.01 * plain
        mean_square = 0.9 * mean_square + 0.1 * gradient**2
        momentum = 0.9 * momentum + 0.045 * gradient / (mean_square + 1.0).sqrt()
        plain = plain - momentum
    torch.testing.assert_close(weight.detach().double(), plain, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("asked", "horizon"),
    [
        (trainer(), Horizon(10, 60)),
        (trainer(batches=11, gathered=4, end=18), Horizon(3, 18)),
        (trainer(end=math.inf), Horizon(10, math.inf)),
        (trainer(batches=math.inf, end=-1), Horizon(math.inf, math.inf)),
        (trainer(batches=math.inf, end=500), Horizon(math.inf, 500)),
    ],
)
def test_horizon(asked: Any, horizon: Horizon) -> None:
    assert Horizon.of(asked) == horizon


@pytest.mark.parametrize("schedule", [Cosine(), Polynomial(), OneCycle(), Timm("adamw")])
def test_who_needs_an_end_says_so(schedule: Schedule) -> None:
    with pytest.raises(UserError, match=r"must know when training ends; give --trainer.max_epochs N"):
        schedule.optimizers(LeNet(10, (1, 28, 28)), trainer(end=math.inf))


@pytest.mark.parametrize("schedule", [Steps(), Inception(), Timm("adamw", policy="constant")])
def test_who_needs_none_goes_without(schedule: Schedule) -> None:
    schedule.optimizers(LeNet(10, (1, 28, 28)), trainer(end=math.inf))


def test_epochs_of_data_without_an_end() -> None:
    with pytest.raises(UserError, match="counts epochs, and the data do not say"):
        Steps().optimizers(LeNet(10, (1, 28, 28)), trainer(batches=math.inf, end=500))
    Cosine().optimizers(LeNet(10, (1, 28, 28)), trainer(batches=math.inf, end=500))


def test_nothing_but_warm_up() -> None:
    with pytest.raises(UserError, match=r"model\.schedule\.warmup_epochs 6 is all of the 60 steps"):
        Cosine(warmup_epochs=6).optimizers(LeNet(10, (1, 28, 28)), trainer())


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: Steps(milestones=[3, 2]), r"steps: milestones are above 0 and ascend, unlike \[3, 2\]"),
        (lambda: Steps(milestones=[0, 2]), r"steps: milestones are above 0 and ascend, unlike \[0, 2\]"),
        (lambda: Steps(factor=1), "steps: factor divides the rate and must be above 1, not 1"),
        (lambda: Cosine(end=2), "cosine: end is a share of the rate, from 0 to 1, and cannot be 2"),
        (lambda: Cosine(momentum=0), r"model\.schedule\.nesterov needs a momentum above 0"),
        (lambda: Cosine(momentum=1), r"model\.schedule\.momentum is a share from 0 up to 1 and cannot be 1"),
        (lambda: Polynomial(power=0), "polynomial: power is above 0 and cannot be 0"),
        (lambda: OneCycle(rise=1), "one_cycle: rise is a share of training between 0 and 1, and cannot be 1"),
        (lambda: OneCycle(last=0.1), r"one_cycle: last divides the rate and must be at least 1, not 0\.1"),
        (lambda: Inception(every=0), "inception: every is a number of epochs and cannot be 0"),
        (lambda: Inception(factor=2), "inception: factor multiplies the rate, is from 0 to 1 and cannot be 2"),
        (lambda: Inception(eps=-1), r"inception: alpha is a share from 0 to 1 and eps at least 0, unlike 0\.9 and -1"),
        (lambda: Cosine(warmup_epochs=-1), r"model\.schedule\.warmup_epochs is a number of epochs and cannot be -1"),
        (lambda: Cosine(lr=math.nan), r"model\.schedule\.lr is a learning rate, at least 0, and cannot be nan"),
        (lambda: Cosine(weight_decay=-1), r"model\.schedule\.weight_decay is a share of the weights, at least 0, and"),
        (lambda: Cosine(label_smoothing=2), r"model\.schedule\.label_smoothing is a share from 0 to 1 and cannot be 2"),
        (lambda: Cosine(ema=1.0), r"model\.schedule\.ema is a share from 0 up to 1 and cannot be 1\.0"),
        (lambda: Cosine(mixup=-1), r"model\.schedule\.mixup is the α of a distribution, at least 0, and cannot be -1"),
        (lambda: Cosine(rates={"body": -1}), r"model\.schedule\.rates\.body is a number, at least 0, and cannot be -1"),
        (lambda: Cosine(aux_weight=-1), r"model\.schedule\.aux_weight is a number, at least 0, and cannot be -1"),
        (lambda: Cosine(aux_weight={"a": -1}), r"model\.schedule\.aux_weight\.a is a number, at least 0, and cannot"),
    ],
)
def test_bad_options(build: Callable[[], Schedule], said: str) -> None:
    with pytest.raises(ValueError, match=f"^{said}"):
        build()
