"""Speed, gradient norms and first filters: what they log, and when."""

import time
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.loggers import CSVLogger
from PIL import Image
from small_fits import Brightest, Small, classifier, fit
from torch import nn

from convkit.callbacks.first_filters import FirstFilters, first_filters
from convkit.callbacks.gradient_norms import GradientNorms
from convkit.callbacks.speed import Speed
from convkit.errors import UserError
from convkit.parts import select
from convkit.run import Run


def rows(folder: Path, key: str) -> list[tuple[float, float]]:
    return [(row["step"], row[key]) for row in Run(folder).metrics if key in row]


class Sleeps(Callback):
    """A tenth of a second in each validation."""

    def on_validation_epoch_end(self, *_: Any) -> None:
        time.sleep(0.1)


def test_seconds_have_the_validation_and_images_a_second_do_not(tmp_path: Path) -> None:
    class Counted(Callback):
        seconds = 0.0

        def on_train_batch_start(self, *_: Any) -> None:
            time.sleep(0.02)

    options = {"max_epochs": 2, "log_every_n_steps": 2, "logger": CSVLogger(str(tmp_path), "", "")}
    fit(classifier(), Speed(), Sleeps(), Counted(), **options)
    seconds, speed = rows(tmp_path, "time/epoch"), rows(tmp_path, "time/images_per_second")
    assert [step for step, _ in seconds] == [step for step, _ in speed] == [4, 8]
    for (_, whole), (_, images) in zip(seconds, speed, strict=True):
        trained = 64 / images  # seconds of the 64 images
        assert 0.08 <= trained < whole - 0.1


def test_seconds_have_the_checkpoint_of_the_epoch_before_and_add_up(tmp_path: Path) -> None:
    class Behind(Callback):
        """As a checkpoint, behind the row: a tenth of a second; in the last epoch its time is nobody's."""

        def on_train_epoch_end(self, *_: Any) -> None:
            time.sleep(0.1)

    class Whole(Callback):
        begun = ended = 0.0

        def on_train_epoch_start(self, trainer: Any, *_: Any) -> None:
            self.begun = self.begun or time.monotonic()

        def on_train_epoch_end(self, *_: Any) -> None:
            self.ended = time.monotonic()

    whole = Whole()
    options = {"max_epochs": 3, "log_every_n_steps": 2, "logger": CSVLogger(str(tmp_path), "", "")}
    fit(classifier(), whole, Speed(), Behind(), **options)
    seconds = [value for _, value in rows(tmp_path, "time/epoch")]
    speeds = [value for _, value in rows(tmp_path, "time/images_per_second")]
    for value, speed in zip(seconds[1:], speeds[1:], strict=True):
        assert 64 / speed <= value - 0.1
    assert sum(seconds) == pytest.approx(whole.ended - whole.begun, abs=0.05)


def test_part_of_an_epoch_has_no_seconds(tmp_path: Path) -> None:
    checkpoint = tmp_path / "begun.ckpt"

    class Saves(Callback):
        def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            if batch_idx == 1:
                trainer.save_checkpoint(checkpoint)

    fit(classifier(), Saves(), log_every_n_steps=2)
    folder = tmp_path / "resumed"
    options = {"max_epochs": 2, "log_every_n_steps": 2, "logger": CSVLogger(str(folder), "", "")}
    fit(classifier(), Speed(), ckpt_path=checkpoint, **options)
    assert [step for step, _ in rows(folder, "time/images_per_second")] == [4, 8]
    assert [step for step, _ in rows(folder, "time/epoch")] == [8]


class Norms(Callback):
    """The norms by the plainest reading of the gradients, before every step."""

    def __init__(self) -> None:
        self.found: dict[int, dict[str, float]] = {}

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, *_: Any) -> None:
        named = dict(pl_module.net.named_parameters())
        of_step = self.found.setdefault(trainer.global_step + 1, {})
        for stage in (*pl_module.net.stages, "early"):
            gradients = [named[name].grad for name in select(pl_module.net, stage, "test")]
            flat = [gradient.flatten() for gradient in gradients if gradient is not None]
            if flat:
                of_step[f"grad_norm/{stage}"] = float(torch.cat(flat).double().norm())


def test_gradient_norms_at_the_steps_that_are_logged(tmp_path: Path) -> None:
    plain, model = Norms(), classifier()
    for parameter in model.net.conv1.parameters():
        parameter.requires_grad_(False)
    options = {"log_every_n_steps": 3, "max_epochs": 2, "gradient_clip_val": 1e-3}
    fit(model, plain, GradientNorms(), logger=CSVLogger(str(tmp_path), "", ""), **options)
    found = {row["step"]: row for row in Run(tmp_path).metrics if "grad_norm/head" in row}
    assert [*found] == [3, 4, 6, 8]  # every third, and the last of each epoch of four
    for step, row in found.items():
        logged = {key: value for key, value in row.items() if key.startswith("grad_norm/")}
        assert "grad_norm/conv1" not in logged  # learns nothing
        assert logged == pytest.approx(plain.found[int(step)], rel=1e-5)
        assert row["epoch"] == (step - 1) // 4


def test_gradient_norms_want_a_classifier() -> None:
    with pytest.raises(UserError, match="GradientNorms watches a Classifier"):
        GradientNorms().setup(object(), nn.Linear(1, 1), "fit")  # type: ignore[arg-type]


def test_first_filters_after_powers_of_two_and_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[tuple[str, int, int]] = []
    monkeypatch.setattr("convkit.tracking.show.picture", lambda _, place, page: shown.append(tuple(place)))
    fit(classifier(), FirstFilters(tmp_path), max_epochs=6, data=Brightest(batch_size=64))
    assert shown == [("filters/first_layer", epoch, epoch) for epoch in (1, 2, 4, 6)]
    with Image.open(tmp_path / "first_filters.png") as page:
        assert page.size[0] >= 8 * 48  # eight filters in a row


def test_which_layer_is_the_first() -> None:
    net = Small(4, (3, 8, 8))
    found = first_filters(net)
    assert found is not None
    assert torch.equal(found, net.conv1.conv.weight)
    net.conv1.conv = nn.Conv2d(3, 8, 1)
    assert first_filters(net) is None  # of single pixels there is no picture
    assert first_filters(nn.Sequential(nn.Linear(1, 1))) is None  # type: ignore[arg-type]
