"""A fit that goes on: the same weights and the same curves as one that was never stopped."""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from convkit.callbacks.interruption import Interruption
from convkit.run import Run
from saved_states import contents, same

LAST = "checkpoints/last.ckpt"


def curves(run: str) -> list[dict[str, float]]:
    """The rows of a run, but for how long it took."""
    return [row for row in Run.open(f"runs/{run}").metrics if "time/images_per_second" not in row]


def assert_as_uninterrupted(whole: str, resumed: str) -> None:
    a, b = contents(f"runs/{whole}/{LAST}"), contents(f"runs/{resumed}/{LAST}")
    assert same(a["state_dict"], b["state_dict"])
    assert same(a["optimizer_states"], b["optimizer_states"])
    assert same(a["lr_schedulers"], b["lr_schedulers"])
    assert curves(whole) == curves(resumed)
    best = [contents(f"runs/{run}/checkpoints/best.ckpt") for run in (whole, resumed)]
    assert same(best[0]["state_dict"], best[1]["state_dict"])
    assert best[0]["global_step"] == best[1]["global_step"]


@pytest.fixture
def signalled(monkeypatch: pytest.MonkeyPatch):
    """Let a signal arrive while a given step is computed."""

    def at(step: int, signum: int = signal.SIGTERM, times: int = 1) -> None:
        to_come = [signum] * times

        def on_train_batch_start(self: Interruption, trainer: Any, *_: Any) -> None:
            while to_come and trainer.global_step == step:
                signal.raise_signal(to_come.pop())

        monkeypatch.setattr(Interruption, "on_train_batch_start", on_train_batch_start)

    return at


@pytest.fixture
def undisturbed(monkeypatch: pytest.MonkeyPatch):
    return monkeypatch.undo


def test_after_a_whole_fit(fit, convkit) -> None:
    fit("--trainer.max_epochs", 4, "--name", "whole", "--test_at_end", "false")
    fit("--trainer.max_epochs", 2, "--name", "x", "--test_at_end", "false")
    status, out, err = convkit("fit", "--ckpt_path", "last", "--name", "x", "--wandb", "off", "trainer.max_epochs=4")
    assert (status, err) == (0, "")
    assert out.splitlines()[:2] == [f"resuming from runs/x/1/{LAST}", "  trainer.max_epochs: 2 -> 4"]
    assert_as_uninterrupted("whole/1", "x/2")


@pytest.mark.parametrize(
    ("step", "stopped_at", "options"),
    [
        (5, 6, []),
        (21, 22, []),  # the last of an epoch: its validation comes first
        (7, 8, ["--trainer.accumulate_grad_batches", 2]),  # the signal comes between two halves of a step
        (15, 17, ["--trainer.val_check_interval", 5]),  # a validation is due: the next step is the place
    ],
    ids=["mid-epoch", "end of an epoch", "accumulating", "validation due"],
)
def test_after_a_signal(fit, convkit, signalled, undisturbed, step: int, stopped_at: int, options: list) -> None:
    words = ("--trainer.max_epochs", 3, "--test_at_end", "false", "--trainer.log_every_n_steps", 4, *options)
    fit(*words, "--name", "whole")
    folder = Path.cwd()
    signalled(step)
    status, out, err = convkit(
        "fit", "--config", "quickstart", "data.size=16", "data.batch_size=128", "wandb=off", *words, "--name", "x"
    )
    undisturbed()
    os.chdir(folder)
    assert status == 128 + signal.SIGTERM
    assert err == "\nfinishing this step, then saving; once more stops at once\n"
    assert out.endswith(
        f"stopped by SIGTERM at step {stopped_at}; go on with\n  convkit fit --ckpt_path runs/x/1/{LAST}\n"
    )
    assert contents(f"runs/x/1/{LAST}")["global_step"] == stopped_at
    assert convkit("fit", "--ckpt_path", f"runs/x/1/{LAST}", "--wandb", "off").status == 0
    assert_as_uninterrupted("whole/1", "x/2")


def test_a_second_signal_stops_at_once(convkit, signalled) -> None:
    previous = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    signalled(3, signal.SIGINT, times=2)
    status, _, err = convkit("fit", "--config", "quickstart", "--data.size", 16, "--wandb", "off")
    assert status == 130
    assert err.endswith("stopped by SIGINT, twice: nothing more was saved\n")
    assert not Path("runs/quickstart/1/checkpoints").exists()
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == previous


def test_command_line_over_file_over_checkpoint(fit, convkit) -> None:
    fit("--trainer.max_epochs", 1, "--model.schedule.lr", 0.02, "--model.schedule.momentum", 0.8, "--name", "x")
    Path("later.yaml").write_text(
        "trainer: {max_epochs: 2, gradient_clip_val: 5.0}\nmodel: {schedule: {init_args: {momentum: 0.7}}}\n"
    )
    words = ("--config", "later.yaml", "--trainer.gradient_clip_val", 6, "--wandb", "off")
    status, out, err = convkit("fit", "--ckpt_path", "runs/x", *words, "--name", "y")
    assert (status, err) == (0, "")
    config = Run.open("runs/y").config
    assert config["model"]["schedule"]["init_args"]["lr"] == 0.02  # the checkpoint's
    assert config["model"]["schedule"]["init_args"]["momentum"] == 0.7  # the file's
    assert config["trainer"]["gradient_clip_val"] == 6  # the command line's
    differences = [line for line in out.splitlines() if " -> " in line]
    assert differences == [
        "  model.schedule.init_args.momentum: 0.8 -> 0.7",
        "  trainer.gradient_clip_val: None -> 6",
        "  trainer.max_epochs: 1 -> 2",
    ]


def test_a_worse_epoch_after_resuming_is_not_the_best(fit, convkit) -> None:
    fit("--trainer.max_epochs", 2, "--model.schedule.lr", 0.05, "--name", "x", "--test_at_end", "false")
    words = ("--ckpt_path", "runs/x/latest", "--wandb", "off", "--trainer.max_epochs", 3)
    # Without its learned weights the network is back at chance.
    Path("spoil.py").write_text(
        "from lightning.pytorch import Callback\n"
        "class Spoil(Callback):\n"
        "    def on_train_epoch_start(self, trainer, pl_module):\n"
        "        for parameter in pl_module.parameters(): parameter.data.zero_()\n"
    )
    sys.path.insert(0, str(Path.cwd()))
    try:
        assert convkit("fit", *words, "--trainer.callbacks", "spoil.Spoil").status == 0
    finally:
        sys.path.pop(0)
    assert contents("runs/x/2/checkpoints/best.ckpt")["global_step"] == 22
    assert contents(f"runs/x/2/{LAST}")["global_step"] == 33
    error = {row["step"]: row["val/top1_error"] for row in Run.open("runs/x/2").metrics if "val/top1_error" in row}
    assert error[33.0] > error[22.0]
    before = [path.read_bytes() for path in (Path("runs/x/1/checkpoints/best.ckpt"), Path(f"runs/x/1/{LAST}"))]
    assert all(before)


def test_a_checkpoint_with_code_inside_is_refused_not_run(fit, convkit) -> None:
    class Payload:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path("executed").touch, ()

    torch.save({"state_dict": {}, "loops": Payload()}, "evil.ckpt")
    for words in (("fit", "--ckpt_path"), ("test", "--ckpt_path"), ("fit", "--model.init_from")):
        status, _, err = convkit(*words, "evil.ckpt", "--config", "quickstart")
        assert status == 2
        assert err.startswith("convkit: error: evil.ckpt is not a checkpoint of tensors and plain values")
        assert err.count("\n") == 1
    assert not Path("executed").exists()


def test_from_a_run_whose_metrics_were_cut(fit, convkit) -> None:
    fit("--trainer.max_epochs", 2, "--test_at_end", "false")
    file = Path("runs/quickstart/1/metrics.csv")
    rows = len(Run.open("runs/quickstart/1").metrics)
    file.write_text(file.read_text() + "2,0.05")
    status, _, err = convkit("fit", "--ckpt_path", "last", "--wandb", "off", "trainer.max_epochs=3")
    assert (status, err) == (0, "")
    assert len([row for row in Run.open("runs/quickstart/2").metrics if row["step"] <= 22]) == rows


@pytest.mark.filterwarnings("always")
def test_a_disk_that_is_full_from_the_second_epoch_on(fit, monkeypatch: pytest.MonkeyPatch) -> None:
    save = torch.save

    def full(checkpoint: dict[str, Any], file: Any) -> None:
        if checkpoint["epoch"]:
            raise OSError(28, "No space left on device")
        save(checkpoint, file)

    monkeypatch.setattr(torch, "save", full)
    with pytest.warns(UserWarning, match=r"last\.ckpt cannot be written: No space left on device; the fit goes on"):
        fit("--trainer.max_epochs", 3)
    run = Run.open("runs/quickstart/1")
    assert [contents(str(path))["epoch"] for path in run.checkpoint.parent.glob("*.ckpt")] == [0, 0]
    assert run.metrics[-1]["test/top1_error"] > 0
