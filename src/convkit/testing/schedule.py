"""The contract of a schedule: ``factory(**options) -> Schedule``, fitted to a tiny network."""

import math
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn

from convkit.classifier import Classifier
from convkit.convnet import ConvNet, Outputs
from convkit.datasets.augment import Augment
from convkit.datasets.batches import Split
from convkit.datasets.in_memory import InMemoryData
from convkit.schedules.base import Schedule
from convkit.testing.contract import Clause, Outcome, check_target, demand, enforce, judge, some
from convkit.testing.ranks import on_ranks

EPOCHS, CLASSES = 3, 3
AT_ODDS = 1e-5  # how far ranks may be apart, of float sums in another order


class Tiny(ConvNet):
    """A convolution, batch norm, an auxiliary head and a head."""

    stages = {"conv1": "relu", "head": "head"}
    aux_heads = {"early": "early"}

    def __init__(self, num_classes: int, image_shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.conv, self.norm, self.relu = nn.Conv2d(image_shape[0], 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU()
        self.early, self.head = nn.Linear(4, num_classes), nn.Linear(4, num_classes)

    def forward(self, images: Tensor) -> Tensor | Outputs:
        features = self.relu(self.norm(self.conv(images))).mean((2, 3))
        logits: Tensor = self.head(features)
        return Outputs(logits, {"early": self.early(features)}) if self.training else logits


class Few(InMemoryData):
    """Random images; the class is the brightest channel."""

    num_classes, image_shape, class_names = CLASSES, (3, 8, 8), ["red", "green", "blue"]
    mean, std = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)

    def __init__(self) -> None:
        super().__init__(batch_size=16, val_fraction=0.25, augment=Augment())

    def load(self) -> tuple[Split, Split]:
        draw = torch.Generator().manual_seed(0)
        targets = torch.arange(96) % CLASSES
        images = torch.randint(0, 120, (96, 3, 8, 8), generator=draw)
        images[torch.arange(96), targets] += 100
        whole = Split(images.byte(), targets)
        return whole, whole.take(torch.arange(24))


@dataclass
class Watched(Callback):
    """The rates of every step, and the weights at the end."""

    rates: list[dict[str, float]] = field(default_factory=list)
    weights: dict[str, Tensor] = field(default_factory=dict)
    held: list[str] = field(default_factory=list)  # parameters by name, once for each group of an optimizer
    checkpoint: Path | None = None
    at: int = 0

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        if trainer.global_step == self.at and self.checkpoint:
            trainer.save_checkpoint(self.checkpoint)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        assert isinstance(pl_module, Classifier)
        self.rates.append(pl_module.rates())

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Classifier)
        names = {id(each): name for name, each in pl_module.net.named_parameters()}
        groups = (group for optimizer in trainer.optimizers for group in optimizer.param_groups)
        self.held = [names.get(id(each), "?") for group in groups for each in group["params"]]
        self.weights = {name: value.detach().clone() for name, value in pl_module.net.state_dict().items()}


@dataclass
class Recipe:
    """What is checked, and one fit with it that most clauses look at."""

    factory: Any
    options: Mapping[str, Any]
    ranks: int
    folder: Path

    def build(self) -> Schedule:
        made: Schedule = self.factory(**self.options)
        return made

    @cached_property
    def whole(self) -> Watched:
        watched = Watched(checkpoint=self.folder / "middle.ckpt", at=6)
        fitted(self.build(), watched)
        return watched


def fitted(schedule: Schedule, watched: Watched, resume: Path | None = None, **options: Any) -> None:
    """A fit of three epochs, five steps each, in silence."""
    with warnings.catch_warnings(action="ignore"), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        trainer = Trainer(
            accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
            enable_checkpointing=False, max_epochs=EPOCHS, callbacks=[watched], **{"devices": 1, **options},
        )  # fmt: skip
        model = Classifier(Tiny, schedule, num_classes=CLASSES, image_shape=(3, 8, 8))
        trainer.fit(model, datamodule=Few(), ckpt_path=resume, weights_only=True if resume else None)


def examine(factory: Any, ranks: int = 2, options: Mapping[str, Any] | None = None) -> list[Outcome]:
    """What each clause of the contract found."""
    with tempfile.TemporaryDirectory() as folder:
        subject = Recipe(factory, options or {}, ranks, Path(folder))
        return judge([*CLAUSES, Clause("two ranks", two_ranks)] if ranks > 1 else CLAUSES, subject)


def check_schedule(factory: Any, *, ranks: int = 2, **options: Any) -> None:
    """The contract of a schedule, which is fitted to a tiny network for three epochs.

    Args:
        factory: what the entry point names: a ``Schedule`` class, or a function that is annotated to return one.
        ranks: processes of the last clause, which takes seconds; 1 leaves it out.
        options: the schedule's own.

    Raises:
        ContractError: a line for each clause that does not hold.
    """
    enforce(examine(factory, ranks, options))


def target(subject: Recipe) -> None:
    """A class below ``Schedule``, or a function annotated to return one; every option with a type."""
    check_target(subject.factory, Schedule)


def builds(subject: Recipe) -> None:
    """It makes a ``Schedule``."""
    made = subject.build()
    demand(isinstance(made, Schedule), f"makes a {type(made).__name__}; return a convkit.Schedule")


def groups(subject: Recipe) -> None:
    """``param_groups``, and the optimizers of a fit, have every parameter in one group and in no second one, also
    what is frozen."""
    net = Tiny(CLASSES, (3, 8, 8))
    net.conv.weight.requires_grad_(False)
    names = {id(each): name for name, each in net.named_parameters()}
    held = [names.get(id(each), "?") for group in subject.build().param_groups(net) for each in group["params"]]
    _once(held, [*names.values()], "param_groups")
    _once(subject.whole.held, [*names.values()], "the optimizers of a fit")


def _once(held: list[str], names: list[str], where: str) -> None:
    missing, twice = [name for name in names if name not in held], {each for each in held if held.count(each) > 1}
    demand(not missing, f"{some(missing)} is in no group of {where}; make all at the start, by param_groups(net)")
    demand(not twice, f"{some(sorted(twice))} is in several groups of {where}; put each parameter in one")


def losses(subject: Recipe) -> None:
    """``losses`` gives ``loss``, a finite scalar with a graph, and ``aux/<head>`` for each auxiliary head."""
    outputs = Tiny(CLASSES, (3, 8, 8)).train()(torch.randn(4, 3, 8, 8))
    found = subject.build().losses(outputs, torch.tensor([0, 1, 2, 0]))
    demand("loss" in found, f"losses has {some([*found])} and no 'loss'; name what is minimised so")
    loss = found["loss"]
    good = loss.ndim == 0 and loss.requires_grad and bool(loss.isfinite())
    demand(good, "the loss is no finite number with a graph; reduce it to one, and do not detach it")
    demand("aux/early" in found, "an auxiliary head has no curve of its own; give losses as 'aux/<head>'")


def rates(subject: Recipe) -> None:
    """At every step of a fit each group has a rate, a finite number that is not below 0, under the same name."""
    found = subject.whole.rates
    demand(len(found) == 15, f"a fit of 15 steps ended after {len(found)}; leave stopping to the policy's own option")
    for step, values in enumerate(found):
        demand(bool(values), f"step {step} has no rate; return an optimizer of torch's")
        demand(values.keys() == found[0].keys(), f"step {step} has other groups; make all of them at the start")
        wrong = [f"{name} {value}" for name, value in values.items() if not (value >= 0 and math.isfinite(value))]
        demand(not wrong, f"step {step} has the rate {some(wrong)}; give a finite number, at least 0")


def learns(subject: Recipe) -> None:
    """A fit changes every parameter, and all stay finite."""
    weights = subject.whole.weights
    torch.manual_seed(0)
    before = {name: each.detach() for name, each in Tiny(CLASSES, (3, 8, 8)).named_parameters()}
    still = [name for name, value in before.items() if torch.equal(weights[name], value)]
    demand(len(still) < len(before), "nothing was learned; step the optimizer")
    demand(not still, f"{some(still)} has not changed after 15 steps; give its group a rate, and its head a loss")
    endless = [name for name, value in weights.items() if not value.isfinite().all()]
    demand(not endless, f"{some(endless)} is not finite after 15 steps; lower the default rate")


def resumes(subject: Recipe) -> None:
    """A fit that goes on from a checkpoint in mid-epoch has the same rates and ends with the same weights."""
    whole, rest = subject.whole, Watched()
    assert whole.checkpoint is not None
    fitted(subject.build(), rest, whole.checkpoint)
    way = "keep all that decides a rate in the optimizer's or the scheduler's state_dict, as numbers and strings"
    demand(rest.rates == whole.rates[whole.at :], f"other rates after going on from a checkpoint; {way}")
    other = [name for name, value in whole.weights.items() if not torch.equal(value, rest.weights[name])]
    way = "keep all that decides a step in a state_dict, and ask convkit.schedules.horizon.Horizon for the length"
    demand(not other, f"{some(other)} ends otherwise after going on from a checkpoint; {way}")


def two_ranks(subject: Recipe) -> None:
    """On two processes both have the same rates and the same parameters at the end."""
    parts = on_ranks(subject.ranks, _fit, subject.factory, dict(subject.options), subject.ranks)
    first = parts[0]
    for other in parts[1:]:
        demand(other["rates"] == first["rates"], "the ranks have different rates; decide nothing by rank")
        far = [
            name
            for name, value in first["weights"].items()
            if "running" not in name and (value.float() - other["weights"][name].float()).abs().max() > AT_ODDS
        ]
        demand(not far, f"the ranks end with different {some(far)}; draw and decide nothing by rank")


def _fit(factory: Any, options: Mapping[str, Any], ranks: int) -> dict[str, Any]:
    watched = Watched()
    fitted(factory(**options), watched, devices=ranks, strategy="ddp")
    return {"rates": watched.rates, "weights": watched.weights}


CLAUSES: list[Clause[Recipe]] = [
    Clause("target", target, essential=True),
    Clause("builds", builds, essential=True),
    Clause("groups", groups),
    Clause("losses", losses),
    Clause("rates", rates, essential=True),
    Clause("learns", learns),
    Clause("resumes", resumes),
]
