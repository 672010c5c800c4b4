"""A resumed fit goes on with its W&B run, offline too; one that goes back begins its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from wandb_records import recorded
from wandb_server import Server

from convkit.cli.front import main
from convkit.run import Run

WORDS = ["--data.size=16", "--data.batch_size=128", "--test_at_end=false"]


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def fit(epochs: int, *words: str) -> None:
    assert main(["fit", *words, f"--trainer.max_epochs={epochs}"]) == 0


def test_offline_and_synced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two folders, one W&B run; after ``wandb sync`` the server has one history, each epoch once."""
    fit(2, "--config", "quickstart", *WORDS)
    fit(3, "--ckpt_path", "last")
    fit(4, "--ckpt_path", "runs/quickstart/2")
    runs = [recorded(Path("runs/quickstart") / number) for number in ("1", "2", "3")]
    ids = {run.run["run_id"] for run in runs}
    assert len(ids) == 1
    assert [len(run.values("val/loss")) for run in runs] == [2, 1, 1]
    assert len([row for row in Run.open("runs/quickstart/3").metrics if "val/loss" in row]) == 4  # the file has all
    with Server() as server:
        environment = {**os.environ, "WANDB_BASE_URL": server.url, "WANDB_API_KEY": "a" * 40}
        folders = [str(path) for path in Path("runs/quickstart").glob("[0-9]/wandb/offline-run-*")]
        command = [sys.executable, "-m", "wandb", "sync", *folders]
        subprocess.run(command, env=environment, check=True, capture_output=True, timeout=100)
        [history] = [[rows[place] for place in sorted(rows)] for rows in server.history.values()]
    assert [row["_step"] for row in history] == list(range(len(history)))
    steps = [row["trainer/global_step"] for row in history if "val/top1_error" in row]
    assert steps == [11, 22, 33, 44]
    rows = Run.open("runs/quickstart/3").metrics
    errors = [row["val/top1_error"] for row in rows if "val/top1_error" in row]
    assert [row["val/top1_error"] for row in history if "val/top1_error" in row] == pytest.approx(errors)


def test_who_goes_back_begins_a_run_of_its_own() -> None:
    fit(2, "--config", "quickstart", *WORDS)
    Path("runs/quickstart/1/checkpoints/early.ckpt").symlink_to("best.ckpt")
    fit(3, "--ckpt_path", "runs/quickstart/1/checkpoints/last.ckpt")
    fit(3, "--ckpt_path", "runs/quickstart/1/checkpoints/last.ckpt")  # once more from the same place
    one, two, three = (recorded(Path("runs/quickstart") / number) for number in ("1", "2", "3"))
    assert one.run["run_id"] == two.run["run_id"] != three.run["run_id"]
    assert len(three.values("val/loss")) == 3  # with the rows from before


def test_from_a_checkpoint_before_the_last() -> None:
    from convkit.tracking.weights_and_biases import to_go_on_with

    folder = Path("runs/quickstart/1")
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "metrics.csv").write_text("step,val/loss\n11,0.5\n12,\n22,0.4\n")
    saved = {"convkit": {"wandb": "abc"}, "global_step": 11}
    assert to_go_on_with(folder / "checkpoints/best.ckpt", saved) is None
    assert to_go_on_with(folder / "checkpoints/best.ckpt", {**saved, "global_step": 22}) == "abc"
    assert to_go_on_with(folder / "checkpoints/last.ckpt", saved) == "abc"  # a fit that was killed in an epoch
    assert to_go_on_with(folder / "checkpoints/last.ckpt", {"global_step": 11}) is None  # was not tracked
    (folder / "metrics.csv").write_text("step,val/l")  # half-written
    assert to_go_on_with(folder / "checkpoints/best.ckpt", saved) == "abc"
