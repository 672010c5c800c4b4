"""Schedules by their short names, from the command line to the metrics; and what is wrong with one, in a line."""

# ruff: noqa: E501 - a case a line
import math
import shlex
from pathlib import Path

import pytest

from convkit.plugins import named
from convkit.run import Run

REQUIRED = {"timm": "--model.schedule.optimizer adamw"}
FIT = "fit --config quickstart --data.size 16 --data.batch_size 128 --wandb off --trainer.log_every_n_steps 1 "


@pytest.mark.parametrize("name", named("schedule"))
def test_every_schedule_trains_with_every_common_option(fit, name: str) -> None:
    """Three epochs of 11 steps, average and mixtures and all, and the test at the end."""
    options = "--model.schedule.mixup 0.2 --model.schedule.cutmix 1 --model.schedule.ema 0.5 --trainer.max_epochs 3 "
    options += "--model.schedule.decay weights --model.schedule.label_smoothing 0.1 "
    result = fit("--model.schedule", name, *shlex.split(options + REQUIRED.get(name, "")))
    assert result.err == ""
    rows = Run.open("runs/quickstart").metrics
    assert all(math.isfinite(row["train/loss"]) for row in rows if "train/loss" in row)
    assert {"lr/all", "test/loss", "val/loss"} <= {key for row in rows for key in row}


@pytest.mark.parametrize(
    "rates",
    [
        ["--model.schedule.rates", "{body: 0.001, head: 0.01}"],
        ["--model.schedule.rates.body", "0.001", "--model.schedule.rates.head", "0.01"],
        ["--config", "rates.yaml"],
    ],
)
def test_warm_up_and_rates_by_part(fit, rates: list[str]) -> None:
    Path("rates.yaml").write_text("model: {schedule: {init_args: {rates: {body: 0.001, head: 0.01}}}}\n")
    words = ("--model.schedule", "cosine", "--model.schedule.warmup_epochs", 1, "--trainer.max_epochs", 2)
    fit(*words, *rates, "--trainer.log_every_n_steps", 1)
    rows = [row for row in Run.open("runs/quickstart").metrics if "lr/body" in row]
    assert [row["step"] for row in rows] == list(range(1, 23))
    half = [0.5 * (1 + math.cos(math.pi * step / 11)) for step in range(11)]
    expected = [(step + 1) / 12 for step in range(11)] + half
    assert [row["lr/body"] for row in rows] == pytest.approx([0.001 * factor for factor in expected])
    assert [row["lr/head"] for row in rows] == pytest.approx([0.01 * factor for factor in expected])


LINES = [
    ("cosine --model.schedule.rates '{conv9: 1}'", "model.schedule.rates: 'conv9' is no stage, module or parameter of Le"),
    ("cosine --model.schedule.rates '{fc5: 1, body: 1}'", "model.schedule.rates: later keys take all of 'fc5'; put it"),
    ("cosine --model.schedule.rates '{body: -1}'", "model.schedule.rates.body is a number, at least 0, and cannot be -1"),
    ("cosine --model.schedule.rates '{body: fast}'", "model.schedule.rates cannot be 'fast'; wanted float"),
    ("cosine --model.schedule.aux_weight '{aux1: 1}'", "model.schedule.aux_weight: 'aux1' is no auxiliary head of the "),
    ("cosine --model.schedule.decay bias", "model.schedule.decay cannot be 'bias'; wanted one of all, weights"),
    ("cosine --model.schedule.ema 1", "model.schedule.ema is a share from 0 up to 1 and cannot be 1.0"),
    ("cosine --model.schedule.warmup_epochs 9", "model.schedule.warmup_epochs 9.0 is all of the 22 steps that there are"),
    ("cosine --trainer.max_epochs -1", "the schedule must know when training ends; give --trainer.max_epochs N"),
    ("one_cycle --model.schedule.warmup_epochs 1", "model.schedule: OneCycle has no option 'warmup_epochs'; choose from"),
    ("steps --model.schedule.milestones '[3, 2]'", "steps: milestones are above 0 and ascend, unlike [3.0, 2.0]"),
    ("timm", "Timm needs optimizer; give --model.schedule.optimizer"),
    ("timm --model.schedule.optimizer adamm", "timm has no optimizer 'adamm'; did you mean adam"),
    ("timm --model.schedule.optimizer sgd --model.schedule.policy sine", "'sine'; wanted one of constant, cosine, linear"),
    ("plateau --model.schedule.monitor val/x --trainer.num_sanity_val_steps 0", "'val/x', which nothing logs; did you mean val/loss"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "message"), LINES)
def test_one_line(convkit, words: str, message: str) -> None:
    status, _, err = convkit(*shlex.split(f"{FIT} --trainer.max_epochs 2 --model.schedule {words}"))
    assert status == 2, err
    assert err.startswith("convkit: error: ")
    assert err.count("\n") == 1
    assert message in err
    assert not Path("runs").exists()


def test_another_schedule_on_the_way(fit, convkit) -> None:
    fit("--model.schedule", "cosine", "--trainer.max_epochs", 1)
    words = "--wandb off --trainer.max_epochs 2 --model.schedule"
    status, _, err = convkit("fit", "--ckpt_path", "last", *shlex.split(words), "plateau")
    assert status == 2
    assert err.startswith("convkit: error: the checkpoint was trained by another schedule than model.schedule; ")
    assert err.count("\n") == 1
    status, _, err = convkit("fit", "--ckpt_path", "last", *shlex.split(words), "steps")  # SGD as well
    assert (status, err) == (0, "")


def test_what_is_kept_and_tested_is_the_average(fit, convkit) -> None:
    fit("--model.schedule", "cosine", "--model.schedule.ema", 0.8, "--trainer.max_epochs", 2, "--test_at_end", "true")
    run = Run.open("runs/quickstart/1")
    at_end = run.metrics[-1]
    assert convkit("test", "--ckpt_path", run.directory).status == 0
    (again,) = Run(run.directory / "test" / "1").metrics
    assert {key: again[key] for key in ("test/loss", "test/top1_error")} == pytest.approx(
        {key: at_end[key] for key in ("test/loss", "test/top1_error")}
    )
