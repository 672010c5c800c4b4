"""A fit with frozen stages that goes on from a checkpoint: the same, bit for bit, as one that was never stopped."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import Checkpoint, EMAWeightAveraging
from small_fits import Optimizer, Scripted, Watch, changed, classifier, fit, keys

from convkit.callbacks.freezing import Freezing
from convkit.schedules.averaging import Averaging
from convkit.schedules.plateau import Plateau
from saved_states import contents, same

EPOCHS = 4  # of four steps
SCHEDULES: dict[str, Callable[[], Any]] = {
    "sgd": lambda: Plateau(lr=0.05, momentum=0.9, weight_decay=0.01, patience=1, factor=2.0),
    "adamw": lambda: Optimizer("AdamW", lr=0.01),
}
BY_EPOCH: dict[str, Any] = {"thaw": {1: ["conv2", "fc3"], 3: ["body"]}}
# stalls after the second epoch, and after the third
AT_STALLS: dict[str, Any] = {"thaw_when_stalled": ["fc3", "body"], "monitor": "val/scripted", "patience": 0}
VALUES = [2.0, 2.0, 2.0, 1.0]


@pytest.fixture(autouse=True)
def _seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PL_GLOBAL_SEED", "3")  # dropout goes by step


class Every(Checkpoint):
    """A checkpoint wherever one of Lightning's may be written; the last step of an epoch has its validation first."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        if not trainer.is_last_batch:
            self._save(trainer, "step")

    def on_validation_end(self, trainer: Trainer, pl_module: Any) -> None:
        if not trainer.sanity_checking:
            self._save(trainer, "validation")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        self._save(trainer, "epoch")

    def _save(self, trainer: Trainer, when: str) -> None:
        trainer.save_checkpoint(self.folder / f"{trainer.global_step:02d}-{when}.ckpt")


def run(folder: Path, schedule: str, options: dict[str, Any], *more: Callback, ckpt_path: Path | None = None) -> None:
    folder.mkdir()
    callbacks = [Scripted(VALUES), Freezing(freeze="body", **options), *more, Every(folder)]
    settings = {"max_epochs": EPOCHS, "enable_checkpointing": True}
    fit(classifier(SCHEDULES[schedule]()), *callbacks, ckpt_path=ckpt_path, **settings)


@pytest.mark.parametrize(
    ("schedule", "options", "learning"),
    [
        ("sgd", BY_EPOCH, {2, 8, 14}),  # tensors: the head's; those of conv2 and fc3 too; all
        ("adamw", BY_EPOCH, {2, 8, 14}),
        ("sgd", AT_STALLS, {2, 4, 14}),
        ("adamw", AT_STALLS, {2, 4, 14}),
    ],
    ids=["sgd, epochs", "adamw, epochs", "sgd, stalls", "adamw, stalls"],
)
def test_from_every_checkpoint(tmp_path: Path, schedule: str, options: dict[str, Any], learning: set[int]) -> None:
    run(tmp_path / "whole", schedule, options)
    files = sorted((tmp_path / "whole").iterdir())
    assert len(files) == EPOCHS * 5
    last = contents(tmp_path / "whole" / "16-epoch.ckpt")
    assert last["callbacks"]["Freezing"]["thawed"][-1] == "body"
    assert {len(contents(file)["optimizer_states"][0]["state"]) for file in files} == learning
    for file in (each for each in files if not each.stem.startswith("16")):
        run(tmp_path / file.stem, schedule, options, ckpt_path=file)
        resumed = contents(tmp_path / file.stem / "16-epoch.ckpt")
        for part in ("state_dict", "optimizer_states", "lr_schedulers"):
            assert same(resumed[part], last[part]), f"{part} after {file.stem}"
        assert same(resumed["callbacks"]["Freezing"], last["callbacks"]["Freezing"])


@pytest.mark.parametrize(
    "averaging", [lambda: EMAWeightAveraging(decay=0.5), lambda: Averaging(0.5)], ids=["Lightning's", "ours"]
)
def test_with_averaged_weights(averaging: Callable[[], Callback], tmp_path: Path) -> None:
    run(tmp_path / "whole", "sgd", AT_STALLS, averaging())
    last = contents(tmp_path / "whole" / "16-epoch.ckpt")
    for name in ("06-step", "08-validation", "08-epoch", "09-step"):  # before, at and after the first thaw
        run(tmp_path / name, "sgd", AT_STALLS, averaging(), ckpt_path=tmp_path / f"whole/{name}.ckpt")
        resumed = contents(tmp_path / name / "16-epoch.ckpt")
        for part in ("state_dict", "current_model_state", "averaging_state", "optimizer_states"):
            assert same(resumed[part], last[part]), f"{part} after {name}"


@pytest.mark.parametrize(
    ("file", "options", "learning", "told"),
    [
        # what has thawed stays so, though it should thaw later now, or never
        ("05-step", {"freeze": "body", "thaw": {3: ["conv2", "fc3"]}}, ["conv2", "classifier.1"], []),
        ("05-step", {"policy": "few"}, ["conv2", "classifier.1"], []),
        # what is due by now thaws at once
        ("05-step", {"freeze": "body", "thaw": {1: ["conv1"]}}, ["conv1", "conv2", "classifier.1"],
         ["epoch 2: thawing conv1 (240 parameters); 1,416 learn"]),
        # what is frozen now and was not before
        ("13-step", {"freeze": "head"}, ["conv1", "conv2", "classifier.1", "aux"], []),
        ("05-step", {"policy": "all"}, ["conv1", "conv2", "classifier.1", "aux"], []),
    ],
)  # fmt: skip
def test_options_that_are_others_now(
    tmp_path: Path,
    file: str,
    options: dict[str, Any],
    learning: list[str],
    told: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    run(tmp_path / "whole", "sgd", BY_EPOCH)
    capsys.readouterr()
    model, watch = classifier(SCHEDULES["sgd"]()), Watch()
    limits = {"max_steps": int(file[:2]) + 1, "max_epochs": EPOCHS}
    fit(model, Freezing(**options), watch, ckpt_path=tmp_path / "whole" / f"{file}.ckpt", **limits)
    head = set() if options.get("freeze") == "head" else keys(model, "classifier.4")
    assert watch.moved(0, 1) == keys(model, *learning) | head
    assert [line for line in capsys.readouterr().out.splitlines() if "thawing" in line] == told


def test_a_fit_that_was_not_frozen_before(tmp_path: Path) -> None:
    path = tmp_path / "plain.ckpt"
    fit(classifier(), max_epochs=1).save_checkpoint(path)
    model, watch = classifier(), Watch()
    fit(model, Freezing(policy="few"), watch, max_epochs=2, ckpt_path=path)
    assert watch.moved(0, 4) == keys(model, "classifier.4")


def test_a_checkpoint_that_is_only_tested(tmp_path: Path) -> None:
    run(tmp_path / "whole", "sgd", BY_EPOCH)
    freezing = Freezing(freeze="body")
    model = classifier()
    tester = fit(model, freezing, fast_dev_run=True)
    tester.test(model, tester.datamodule, ckpt_path=tmp_path / "whole" / "09-step.ckpt", weights_only=True)  # type: ignore[attr-defined]
    assert freezing.thawed == []
    assert not changed(model.state_dict(), contents(tmp_path / "whole" / "09-step.ckpt")["state_dict"])
    assert all(parameter.requires_grad for parameter in model.parameters())
