"""No server that is dead or dies, no full disk and no logger that raises stops a fit, or makes it wait."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import wandb
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import CSVLogger, Logger
from wandb.apis.public import Api
from wandb_records import recorded
from wandb_server import Server

from convkit.cli.front import main
from convkit.run import Run
from convkit.tracking import sparing
from convkit.tracking.sparing import spare

WORDS = ["fit", "--config", "quickstart", "--data.size=16", "--data.batch_size=128", "--test_at_end=false"]
TWO = [*WORDS, "--trainer.max_epochs=2"]


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(Path(__file__).parent)


def assert_fitted(capsys: pytest.CaptureFixture[str], run: str = "runs/quickstart/1") -> None:
    assert "result: " in capsys.readouterr().out
    assert torch.load(f"{run}/checkpoints/last.ckpt", weights_only=True)["global_step"] == 22


@pytest.fixture
def fresh() -> Iterator[None]:
    """W&B reads the environment anew, and its service is a new one."""
    wandb.teardown()
    yield
    wandb.teardown()


def server_at(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    for name, value in {"BASE_URL": url, "API_KEY": "a" * 40, "INIT_TIMEOUT": "2", "FINISH_TIMEOUT": "3"}.items():
        monkeypatch.setenv(f"WANDB_{name}", value)


@pytest.mark.parametrize(
    "listens", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["refuses", "never answers"]
)
@pytest.mark.usefixtures("fresh")
@pytest.mark.filterwarnings("always")
def test_a_dead_server(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    recwarn: pytest.WarningsRecorder,
    listens: bool,
) -> None:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        if listens:
            one.listen(100)
        server_at(monkeypatch, f"http://127.0.0.1:{one.getsockname()[1]}")
        assert main([*TWO, "--wandb=online"]) == 0
    assert_fitted(capsys)
    [told] = [str(each.message) for each in recwarn if "Weights & Biases" in str(each.message)]
    assert told.startswith("Weights & Biases: this run is written offline, for wandb sync: ")
    assert "\n" not in told
    assert len(list(Path("runs/quickstart/1/wandb").glob("*run-*-*"))) == 1
    assert len(recorded(Path("runs/quickstart/1")).values("val/loss")) == 2


class Kill(Callback):
    """Ends the server when the second epoch begins, and notes how long that epoch took."""

    server: Server | None = None
    seconds = 0.0

    def on_train_epoch_start(self, trainer: Trainer, *_: Any) -> None:
        if trainer.current_epoch == 1 and Kill.server:
            Kill.server.die()
            Kill.server = None
            Kill.seconds = time.monotonic()

    def on_train_end(self, trainer: Trainer, *_: Any) -> None:
        Kill.seconds = time.monotonic() - Kill.seconds


@pytest.mark.usefixtures("fresh")
def test_a_server_that_dies(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    Kill.server = server = Server().__enter__()
    server_at(monkeypatch, server.url)
    monkeypatch.setattr(sparing, "PATIENCE", 1.0)
    monkeypatch.setattr(Api, "_HTTP_TIMEOUT", 2)  # W&B's own is 19 seconds
    start = time.monotonic()
    with pytest.warns(UserWarning, match="val/confusion is not in Tracker, nor is what follows") as told:
        assert main([*TWO, "--wandb=online", "--trainer.callbacks+=test_no_harm.Kill"]) == 0
    assert len(told) == 1  # it asked the server once
    assert Kill.server is None
    assert Kill.seconds < 3  # its own epoch is a tenth of a second
    assert time.monotonic() - start < 30
    assert_fitted(capsys)
    assert server.configs  # it had begun to take the run
    assert len(recorded(Path("runs/quickstart/1")).values("val/loss")) == 2  # what it did not take lies here


@pytest.mark.slow
@pytest.mark.usefixtures("fresh")
def test_online(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with Server() as server:
        server_at(monkeypatch, server.url)
        monkeypatch.setenv("WANDB_FINISH_TIMEOUT", "30")
        assert main([*TWO, "--wandb=online"]) == 0
        [history] = server.history.values()
        [config] = server.configs.values()
        [files] = server.files.values()
    assert_fitted(capsys)
    assert [row["trainer/global_step"] for row in history.values() if "val/loss" in row] == [11, 22]
    assert config["model"]["value"]["architecture"]["class_path"] == "convkit.architectures.lenet.LeNet"
    assert any(name.startswith("media/images/filters/first_layer") for name in files)


def test_a_tracker_that_cannot_start(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(**_: Any) -> None:
        raise wandb.errors.CommError("no\n  disk")

    monkeypatch.setattr(wandb, "init", broken)
    with pytest.warns(UserWarning, match="Weights & Biases: off in this run: no disk"):
        assert main(TWO) == 0
    assert_fitted(capsys)
    assert Run.open("runs/quickstart").metrics
    assert not Path("runs/quickstart/1/wandb").exists()


class Full(Callback):
    """Lets what a fit writes beside its checkpoints go to a device that is always full."""

    names = ("metrics.csv", "val_confusion.csv", "first_filters.png", "evolution", "val_mistakes.png")

    def on_fit_start(self, trainer: Trainer, *_: Any) -> None:
        for name in self.names:
            (Path(trainer.default_root_dir) / name).symlink_to("/dev/full")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.filterwarnings("always")
def test_a_full_disk(capsys: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder) -> None:
    extra = ["--trainer.callbacks+=FeatureEvolution", "--trainer.callbacks+=test_no_harm.Full"]
    assert main([*TWO, "--wandb=off", *extra]) == 0
    assert_fitted(capsys)
    told = [str(warning.message) for warning in recwarn]
    for what in ("CSVLogger.save failed", "first_filters.png is not written", "val_mistakes.png is not written",
                 "the pages of val are not all written", "evolution is not all written"):  # fmt: skip
        assert any(what in line for line in told), (what, told)
    assert any("No space left on device" in line for line in told)


@pytest.mark.slow
@pytest.mark.filterwarnings("always")
def test_a_full_disk_under_wandb(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    small = Path("small").absolute()
    small.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", small], capture_output=True, check=False)
    if mount.returncode:
        pytest.skip("needs the right to mount a small disk")
    start = wandb.init
    monkeypatch.setattr(wandb, "init", lambda **options: start(**{**options, "dir": str(small)}))
    monkeypatch.setenv("WANDB_FINISH_TIMEOUT", "5")
    try:
        assert main(TWO) == 0
    finally:
        subprocess.run(["umount", "-l", small], check=True)
    assert_fitted(capsys)
    assert any("is full: what W&B has of this run may be cut off" in str(each.message) for each in recwarn)


class Raising(Logger):
    """A user's logger that is broken throughout."""

    name, version = "raising", 0  # type: ignore[assignment]

    def log_metrics(self, *_: Any, **__: Any) -> None:
        raise OSError("disk quota\nexceeded")

    log_hyperparams = save = finalize = after_save_checkpoint = log_metrics  # type: ignore[assignment]


@pytest.mark.filterwarnings("always")
def test_a_logger_that_raises(capsys: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder) -> None:
    assert main([*TWO, "--wandb=off", "--trainer.logger=test_no_harm.Raising"]) == 0
    assert_fitted(capsys)
    told = {str(warning.message) for warning in recwarn}
    assert "Raising.log_metrics failed: disk quota exceeded" in told
    assert "Raising.save failed: disk quota exceeded" in told
    assert [row for row in Run.open("runs/quickstart").metrics if "val/loss" in row]  # the others log on


@pytest.mark.filterwarnings("always")
def test_a_logger_whose_errors_take_long_is_called_no_more(
    monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    monkeypatch.setattr(sparing, "PATIENCE", 0.05)
    calls = 0

    class Slow(Raising):
        def log_metrics(self, *_: Any, **__: Any) -> None:
            nonlocal calls
            calls += 1
            time.sleep(0.03)
            raise TimeoutError

    logger = spare(Slow())
    for _ in range(10):
        logger.log_metrics({})
    assert calls == 2
    assert str(recwarn[-1].message) == "Slow.log_metrics failed and is off from here on: TimeoutError"


def test_a_spared_logger_is_still_what_it_was(tmp_path: Path) -> None:
    logger = spare(CSVLogger(str(tmp_path), name="", version=""))
    assert spare(logger) is logger
    assert isinstance(logger, CSVLogger)
    logger.log_metrics({"a": 1.0}, 3)
    logger.save()
    assert (tmp_path / "metrics.csv").read_text() == "a,step\n1.0,3\n"
    assert os.listdir(tmp_path) == ["metrics.csv"]
