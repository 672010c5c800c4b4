"""Freezing and thawing on two ranks: they stay one network, and the one that a single process trains."""

import gc
import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.plugins import LayerSync
from lightning.pytorch.strategies import DDPStrategy
from small_fits import Optimizer, Scripted, Watch, changed, classifier, fit, state
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce
from torch.nn.parallel import DistributedDataParallel
from two_ranks import on_two_ranks

from convkit.callbacks import freezing
from convkit.callbacks.freezing import Freezing
from convkit.schedules.plateau import Plateau

BY_EPOCH: dict[str, Any] = {"thaw": {2: ["conv2", "fc3"], 3: ["body"]}}
AT_STALLS: dict[str, Any] = {"thaw_when_stalled": ["fc3", "body"], "monitor": "val/scripted", "patience": 0}
VALUES = [2.0, 2.0, 2.0, 1.0, 1.0]
EPOCHS = 5  # of four steps


class Phases(Callback):
    """The network's state after each epoch, its validation included."""

    def __init__(self) -> None:
        self.states: list[dict[str, Tensor]] = []

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        self.states.append(state(pl_module.net))


class SyncedBatchNorm(nn.BatchNorm2d):
    """By the statistics of the batch over all ranks. torch's own does it on GPUs only."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        sums = all_reduce(torch.stack([x.sum((0, 2, 3)), x.square().sum((0, 2, 3))]))
        count = x.numel() / x.shape[1] * torch.distributed.get_world_size()
        mean, square = sums / count
        variance = square - mean.square()
        with torch.no_grad():
            self.num_batches_tracked += 1  # type: ignore[operator]
            self.running_mean.lerp_(mean, self.momentum)  # type: ignore[union-attr]
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)  # type: ignore[union-attr]
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return x * scale[:, None, None] + (self.bias - mean * scale)[:, None, None]


class Synced(LayerSync):
    """Lightning's place for it: modules are replaced before DDP is made."""

    def apply(self, model: nn.Module) -> nn.Module:
        for name, child in model.named_children():
            if type(child) is nn.BatchNorm2d:
                replaced = SyncedBatchNorm(child.num_features)
                replaced.weight, replaced.bias = child.weight, child.bias
                for buffer, value in child.named_buffers():
                    replaced.register_buffer(buffer, value)
                setattr(model, name, replaced)
            else:
                self.apply(child)
        return model

    def revert(self, model: nn.Module) -> nn.Module:
        return model


# -- what the two ranks do: every function here runs on both, and in one pair of processes -----------------------------

TWO: dict[str, Any] = {"devices": 2, "strategy": "ddp"}


def phases(options: dict[str, Any], *, rebuilt: bool = True, **settings: Any) -> list[dict[str, Tensor]]:
    seen, rebuild = Phases(), freezing.rebuild
    freezing.rebuild = rebuild if rebuilt else lambda trainer: None
    try:
        callbacks = Scripted(VALUES), Freezing(freeze="body", **options), seen
        fit(classifier(settings.pop("schedule", None)), *callbacks, **{"max_epochs": EPOCHS, **TWO, **settings})
    finally:
        freezing.rebuild = rebuild
    return seen.states


def resumed(options: dict[str, Any], epochs: int) -> list[dict[str, Tensor]]:
    path = Path("resumed.ckpt")
    freeze = {"freeze": "body", **options}
    fit(classifier(), Scripted(VALUES), Freezing(**freeze), max_epochs=epochs, **TWO).save_checkpoint(path)
    seen = Phases()
    fit(classifier(), Scripted(VALUES), Freezing(**freeze), seen, max_epochs=EPOCHS, ckpt_path=path, **TWO)
    return seen.states


def wrappers() -> dict[str, int]:
    """How many wrappers there were, and how many of those that were replaced are still there."""
    seen: list[weakref.ref[Any]] = []

    class Look(Callback):
        def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
            if not any(each() is trainer.strategy.model for each in seen):
                seen.append(weakref.ref(trainer.strategy.model))
            self.alive = sum(each() is not None for each in seen)
            assert isinstance(trainer.strategy.model, DistributedDataParallel)

    look = Look()
    gc.disable()
    fit(classifier(), Freezing(freeze="body", **BY_EPOCH), look, max_epochs=4, **TWO)
    gc.enable()
    return {"wrappers": len(seen), "alive": look.alive}


NETS: dict[str, dict[str, Any]] = {
    "no batch norm": {"norm": nn.Identity},
    "synced batch norm": {},
    "statistics kept": {},
}


def steps(name: str, **settings: Any) -> list[dict[str, Tensor]]:
    """The state before each of 20 steps and after the last. Dropout draws otherwise on each rank; there is none."""
    model, watch = classifier(Plateau(lr=0.05, weight_decay=0.01), dropout=0.0, **NETS[name]), Watch()
    frozen = Freezing(freeze="body", thaw={2: ["conv2", "fc3"], 3: ["body"]}, keep_statistics=name == "statistics kept")
    if settings and name == "synced batch norm":
        settings["plugins"] = [Synced()]
    fit(model, frozen, watch, max_epochs=EPOCHS, **settings)
    return watch.states


SCENARIOS: dict[str, Callable[[], Any]] = {
    "by epoch": partial(phases, BY_EPOCH),
    "at stalls": partial(phases, AT_STALLS),
    "adamw": partial(phases, BY_EPOCH, schedule=Optimizer("AdamW", lr=0.01)),
    "gathered": partial(phases, AT_STALLS, accumulate_grad_batches=3),
    "static graph": partial(phases, BY_EPOCH, strategy=DDPStrategy(static_graph=True)),
    "views": partial(phases, AT_STALLS, strategy=DDPStrategy(gradient_as_bucket_view=True)),
    "unused parameters": partial(phases, BY_EPOCH, strategy="ddp_find_unused_parameters_true"),
    "not rebuilt": partial(phases, BY_EPOCH, rebuilt=False),
    "resumed before a thaw": partial(resumed, BY_EPOCH, 2),
    "resumed after a thaw": partial(resumed, BY_EPOCH, 3),
    "resumed at a stall": partial(resumed, AT_STALLS, 2),
    "wrappers": wrappers,
    **{name: partial(steps, name, **TWO) for name in NETS},
}


def everything() -> dict[str, Any]:
    return {name: scenario() for name, scenario in SCENARIOS.items()}


# -- what came of it ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return on_two_ranks(tmp_path_factory.mktemp("ranks"), everything)


PHASES = [name for name in SCENARIOS if name not in ("wrappers", "not rebuilt", *NETS)]


@pytest.mark.parametrize("name", PHASES)
def test_after_every_phase_both_ranks_hold_the_same_bits(ranks: list[dict[str, Any]], name: str) -> None:
    first, second = (rank[name] for rank in ranks)
    assert len(first) == len(second) >= 2
    for left, right in zip(first, second, strict=True):
        assert not changed(left, right)
    moved = changed(first[-2], first[-1])
    assert moved == set(first[0])  # all of it learns by then


def test_without_rebuilding_they_drift_apart(ranks: list[dict[str, Any]]) -> None:
    """The test above finds what it is for (lightning#20340)."""
    first, second = (rank["not rebuilt"] for rank in ranks)
    assert not changed(first[1], second[1])  # nothing has thawed yet
    drifted = changed(first[2], second[2])
    assert {name for name in first[0] if name.startswith(("conv2.conv", "classifier.1"))} <= drifted


@pytest.mark.parametrize("name", [name for name in PHASES if name.startswith("resumed")])
def test_going_on_is_the_same_on_two_ranks(ranks: list[dict[str, Any]], name: str) -> None:
    whole = ranks[0]["at stalls" if "stall" in name else "by epoch"]
    for left, right in zip(reversed(whole), reversed(ranks[0][name]), strict=False):
        assert not changed(left, right)


def test_the_old_wrapper_is_gone_with_its_hooks(ranks: list[dict[str, Any]]) -> None:
    assert [rank["wrappers"] for rank in ranks] == [{"wrappers": 3, "alive": 1}] * 2


@pytest.mark.parametrize("name", NETS)
def test_two_ranks_follow_one_process_with_the_whole_batch(ranks: list[dict[str, Any]], name: str) -> None:
    alone, first, second = steps(name), ranks[0][name], ranks[1][name]
    assert len(alone) == len(first) == 21
    for step, (expected, reached) in enumerate(zip(alone, first, strict=True)):
        for key, value in expected.items():
            torch.testing.assert_close(reached[key], value, atol=1e-5, rtol=0, msg=f"{key} after {step} steps")
    trained = {key for key in alone[0] if "running" not in key and "num_batches" not in key}
    assert changed(alone[0], alone[-1]) >= trained
    assert not changed({key: first[-1][key] for key in trained}, {key: second[-1][key] for key in trained})
