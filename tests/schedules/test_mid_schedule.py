"""A fit that goes on in mid-schedule: rates, weights and averages as of one that was never stopped, to the last bit."""

import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from tiny_fit import STEPS, classifier, fit

from convkit.callbacks.checkpoints import BestCheckpoint, LastCheckpoint
from convkit.callbacks.interruption import Interrupted, Interruption
from convkit.errors import UserError
from convkit.run import Run
from convkit.schedules.base import Schedule
from convkit.schedules.cosine import Cosine
from convkit.schedules.inception import Inception
from convkit.schedules.one_cycle import OneCycle
from convkit.schedules.plateau import Plateau
from convkit.schedules.polynomial import Polynomial
from convkit.schedules.steps import Steps
from convkit.schedules.timm import Timm
from saved_states import same

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers.*",
    "ignore:.*treespec, LeafSpec.*",
    "ignore:.*directory .* exists and is not empty.*",
    "ignore:.*callbacks used to create the checkpoint need to be provided.*",
)
ALL = {
    "rates": {"head": 0.02},
    "decay": "weights",
    "aux_weight": {"early": 0.4},
    "label_smoothing": 0.1,
    "mixup": 0.2,
    "cutmix": 1.0,
    "ema": 0.8,
}
MADE = {
    "plateau": lambda **options: Plateau(patience=0, threshold=100.0, **options),
    "steps": lambda **options: Steps(milestones=[1, 1.5], **options),
    "cosine": lambda **options: Cosine(warmup_epochs=0.5, **options),
    "one_cycle": OneCycle,
    "inception": lambda **options: Inception(every=0.25, **options),
    "polynomial": Polynomial,
    "timm": lambda **options: Timm("adamw", **options),
    "timm lamb": lambda **options: Timm("lamb", **options),
}


class Stops(Interruption):
    """The signal comes while a step is computed; it ends behind that step."""

    def __init__(self, checkpoint: Path, step: int) -> None:
        super().__init__(checkpoint)
        self.step = step

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        if trainer.global_step == self.step - 1 and not self._received:
            signal.raise_signal(signal.SIGTERM)


def checkpoints(folder: Path) -> list[Any]:
    return [BestCheckpoint(folder / "checkpoints", "val/top1_error"), LastCheckpoint(folder / "checkpoints")]


def contents(folder: Path, name: str = "last") -> dict[str, Any]:
    loaded: dict[str, Any] = torch.load(folder / f"checkpoints/{name}.ckpt", weights_only=True)
    return loaded


def stopped(folder: Path, schedule: Schedule, step: int, **options: Any) -> Path:
    path = folder / "checkpoints/last.ckpt"
    with pytest.raises(Interrupted):
        fit(folder, classifier(schedule), *checkpoints(folder), Stops(path, step), **options)
    return path


def rows(folder: Path, after: int) -> list[dict[str, float]]:
    return [row for row in Run(folder).metrics if row["step"] > after]


@pytest.mark.parametrize("name", MADE)
def test_as_if_never_stopped(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PL_GLOBAL_SEED", "3")
    whole, broken, resumed = tmp_path / "whole", tmp_path / "broken", tmp_path / "resumed"
    step = STEPS + 4
    fit(whole, classifier(MADE[name](**ALL)), *checkpoints(whole), max_epochs=3)
    path = stopped(broken, MADE[name](**ALL), step, max_epochs=3)
    assert contents(broken)["global_step"] == step
    fit(resumed, classifier(MADE[name](**ALL)), *checkpoints(resumed), ckpt_path=path, max_epochs=3)
    for kept in ("last", "best"):
        one, other = contents(whole, kept), contents(resumed, kept)
        for part in ("state_dict", "current_model_state", "averaging_state", "optimizer_states", "lr_schedulers"):
            assert same(one[part], other[part]), part
    assert rows(whole, step) == rows(resumed, step)
    assert {"lr/head", "lr/other"} < rows(whole, 0)[0].keys()
    assert len({row["lr/head"] for row in rows(whole, 0) if "lr/head" in row}) > 1


def test_steps_of_two_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PL_GLOBAL_SEED", "3")
    ends = []
    for folder, ckpt_path in ((tmp_path / "whole", None), (tmp_path / "resumed", tmp_path / "broken")):
        if ckpt_path is not None:
            ckpt_path = stopped(ckpt_path, Cosine(**ALL), 9, accumulate_grad_batches=2)
        model = classifier(Cosine(**ALL))
        fit(folder, model, *checkpoints(folder), ckpt_path=ckpt_path, accumulate_grad_batches=2)
        ends.append(contents(folder))
    assert ends[0]["global_step"] == 12  # six of an epoch, the last of one batch
    assert same(ends[0]["current_model_state"], ends[1]["current_model_state"])
    assert ends[0]["optimizer_states"][0]["param_groups"][0]["lr"] == 0.0


def test_under_the_options_that_it_is_given_now(tmp_path: Path) -> None:
    path = stopped(tmp_path / "first", Cosine(lr=0.1, momentum=0.9, weight_decay=1e-3), 6)
    now = tmp_path / "now"
    fit(
        now,
        classifier(Cosine(lr=0.4, momentum=0.5, weight_decay=0.0)),
        *checkpoints(now),
        ckpt_path=path,
        max_epochs=4,
        max_steps=12,
    )
    (group,) = contents(now)["optimizer_states"][0]["param_groups"]
    assert (group["momentum"], group["weight_decay"]) == (0.5, 0.0)
    rate = {row["step"]: row["lr/all"] for row in rows(now, 6) if "lr/all" in row}
    # The seventh step, six being done, of the twelve that there are now.
    assert rate[7] == pytest.approx(0.4 * 0.5)


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (lambda: Plateau(), "trained by another schedule than model.schedule; give that one, or start from"),
        (lambda: Inception(), "trained by another schedule than model.schedule"),
        (
            lambda: Cosine(decay="weights"),
            r"groups are all \(8 parameters\), now they would be all \(3 parameters\), all \(5 parameters\): ",
        ),
        (
            lambda: Cosine(rates={"head": 0.1}),
            r"groups are all \(8 parameters\), now they would be head \(2 parameters\), other \(6 parameters\): ",
        ),
    ],
    ids=["policy", "optimizer", "decay", "rates"],
)
def test_another_schedule_is_one_line(now: Any, said: str, tmp_path: Path) -> None:
    path = stopped(tmp_path / "first", Cosine(), 6)
    with pytest.raises(UserError, match=said):
        fit(tmp_path / "now", classifier(now()), *checkpoints(tmp_path / "now"), ckpt_path=path)


def test_with_an_average_or_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The average has no part in training: taken up or dropped half-way, it changes no weight."""
    monkeypatch.setenv("PL_GLOBAL_SEED", "3")
    ends = {}
    for before, after in ((None, None), (None, 0.8), (0.8, None)):
        broken, resumed = tmp_path / f"{before}", tmp_path / f"{before}-{after}"
        path = stopped(broken, Cosine(ema=before), 15)
        fit(resumed, classifier(Cosine(ema=after)), *checkpoints(resumed), ckpt_path=path)
        end = contents(resumed)
        ends[before, after] = end.get("current_model_state", end["state_dict"])
    assert same(ends[None, None], ends[None, 0.8])
    assert same(ends[None, None], ends[0.8, None])
