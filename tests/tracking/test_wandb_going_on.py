"""A resumed fit goes on with its W&B run, offline too; one that goes back begins its own."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from wandb_records import recorded, rows_in
from wandb_server import Server

from convkit.cli.front import main
from convkit.run import Run
from convkit.tracking.going_on import GoingOn, last_step, to_go_on_with

WORDS = ["--data.size=16", "--data.batch_size=128", "--test_at_end=false"]


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def fit(epochs: int, *words: str) -> None:
    assert main(["fit", *words, f"--trainer.max_epochs={epochs}"]) == 0


def synced(*runs: str) -> Server:
    """A server, ended by now, with what ``wandb sync`` has sent it."""
    with Server() as server:
        environment = {**os.environ, "WANDB_BASE_URL": server.url, "WANDB_API_KEY": "a" * 40}
        folders = [str(path) for run in runs for path in Path("runs/quickstart").glob(f"{run}/wandb/offline-run-*")]
        command = [sys.executable, "-m", "wandb", "sync", *folders]
        subprocess.run(command, env=environment, check=True, capture_output=True, timeout=100)
        return server


def test_offline_and_synced() -> None:
    """Three folders, one W&B run; after ``wandb sync`` the server has one history, each epoch once, and the minima of
    all of them, though the best epoch is in the first."""
    fit(2, "--config", "quickstart", *WORDS, "--model.schedule.lr=0.1")
    fit(3, "--ckpt_path", "last", "--model.schedule.lr=0.8")  # spoils it
    fit(4, "--ckpt_path", "runs/quickstart/2")
    runs = [recorded(Path("runs/quickstart") / number) for number in ("1", "2", "3")]
    ids = {run.run["run_id"] for run in runs}
    assert len(ids) == 1
    assert [len(run.values("val/loss")) for run in runs] == [2, 1, 1]
    assert len([row for row in Run.open("runs/quickstart/3").metrics if "val/loss" in row]) == 4  # the file has all
    server = synced("1", "2", "3")
    [history] = [[rows[place] for place in sorted(rows)] for rows in server.history.values()]
    assert [row["_step"] for row in history] == list(range(len(history)))
    steps = [row["trainer/global_step"] for row in history if "val/top1_error" in row]
    assert steps == [11, 22, 33, 44]
    rows = Run.open("runs/quickstart/3").metrics
    errors = [row["val/top1_error"] for row in rows if "val/top1_error" in row]
    assert [row["val/top1_error"] for row in history if "val/top1_error" in row] == pytest.approx(errors)
    [summary] = server.summaries.values()
    for name in ("train/loss", "val/loss", "val/top1_error", "val/top5_error"):
        values = [row[name] for row in rows if name in row]
        assert name == "train/loss" or min(values) < min(values[2:])  # or part 3 would have it anyway
        assert summary[name] == {"min": pytest.approx(min(values), rel=1e-6)}, name


def test_who_goes_back_begins_a_run_of_its_own() -> None:
    fit(2, "--config", "quickstart", *WORDS)
    Path("runs/quickstart/1/checkpoints/early.ckpt").symlink_to("best.ckpt")
    fit(3, "--ckpt_path", "runs/quickstart/1/checkpoints/last.ckpt")
    fit(3, "--ckpt_path", "runs/quickstart/1/checkpoints/last.ckpt")  # once more from the same place
    one, two, three = (recorded(Path("runs/quickstart") / number) for number in ("1", "2", "3"))
    assert one.run["run_id"] == two.run["run_id"] != three.run["run_id"]
    assert len(three.values("val/loss")) == 3  # with the rows from before


def test_from_a_checkpoint_before_the_last() -> None:
    folder = Path("runs/quickstart/1")
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "metrics.csv").write_text("step,val/loss,train/loss\n11,0.5,\n12,,\n22,0.4,nan\n")
    saved = {"convkit": {"wandb": "abc"}, "global_step": 11}
    assert to_go_on_with(folder / "checkpoints/best.ckpt", saved) is None
    assert to_go_on_with(folder / "checkpoints/best.ckpt", {**saved, "global_step": 22}) == GoingOn(
        "abc", {"val/loss": 0.4}
    )
    # A fit that was killed in an epoch.
    assert to_go_on_with(folder / "checkpoints/last.ckpt", saved) == GoingOn("abc", {"val/loss": 0.5})
    assert to_go_on_with(folder / "checkpoints/last.ckpt", {"global_step": 11}) is None  # was not tracked
    (folder / "metrics.csv").write_text("step,val/l")  # half-written
    assert to_go_on_with(folder / "checkpoints/best.ckpt", saved) == GoingOn("abc", {})


def test_after_a_part_that_was_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a kill leaves it. What is missing would be a hole: the fit that goes on has all rows in a run of its own."""
    fit(2, "--config", "quickstart", *WORDS)
    first = recorded(Path("runs/quickstart/1"))
    [part] = Path("runs/quickstart/1/wandb").glob("offline-run-*/*.wandb")
    whole = part.read_bytes()
    assert last_step(part) == 22
    assert last_step(part.with_name("no.wandb")) == -1
    checkpoint = Path("runs/quickstart/1/checkpoints/last.ckpt")
    contents = torch.load(checkpoint, weights_only=True)
    for length, reached in ((0, -1), (7, -1), (len(whole) // 3, 11), (len(whole) - 400, 22)):
        part.write_bytes(whole[:length])
        assert last_step(part) == reached
        if reached == 22:
            assert to_go_on_with(checkpoint, contents) is not None
        else:
            with pytest.warns(UserWarning, match=r"is cut off: .* leave that folder out of wandb sync"):
                assert to_go_on_with(checkpoint, contents) is None
    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "run", stuck)
        assert last_step(part) == -1
    part.write_bytes(whole[:7])
    with pytest.warns(UserWarning, match="is cut off"):
        fit(3, "--ckpt_path", "last")
    second = recorded(Path("runs/quickstart/2"))
    assert second.run["run_id"] != first.run["run_id"]
    assert [row["trainer/global_step"] for row in second.rows if "val/loss" in row] == [11, 22, 33]


@pytest.mark.slow
def test_what_wandb_sync_makes_of_cut_parts() -> None:
    """As docs/tracking.md says: without a beginning it sends nothing, of what was given with it neither."""
    for _ in range(2):
        fit(1, "--config", "quickstart", *WORDS)
    recorded(Path("runs/quickstart/2"))
    [part] = Path("runs/quickstart/1/wandb").glob("offline-run-*/*.wandb")
    whole = part.read_bytes()
    part.write_bytes(whole[:7])
    assert not synced("1", "2").history
    assert len(synced("2").history) == 1
    part.write_bytes(whole[: len(whole) // 2])
    [rows] = synced("1").history.values()
    assert "val/loss" in {key for row in rows.values() for key in row}


def stuck(*_: object, **options: float) -> None:
    raise subprocess.TimeoutExpired("leet", options["timeout"])


@pytest.mark.slow
@pytest.mark.parametrize("together", [True, False], ids=["with W&B's process", "alone"])
def test_after_a_kill(together: bool) -> None:
    words = ["fit", "--config=quickstart", *WORDS, "--trainer.max_epochs=10000"]
    killed = subprocess.Popen([sys.executable, "-m", "convkit.cli.front", *words], start_new_session=True)
    checkpoint = Path("runs/quickstart/1/checkpoints/last.ckpt")
    deadline = time.monotonic() + 60
    while not checkpoint.is_file() and time.monotonic() < deadline:
        time.sleep(0.05)
    if together:
        os.killpg(killed.pid, signal.SIGKILL)
    else:
        killed.kill()
    killed.wait()
    time.sleep(3)  # for what its process might still write
    with contextlib.suppress(ProcessLookupError):
        os.killpg(killed.pid, signal.SIGKILL)
    reached = int(torch.load(checkpoint, weights_only=True)["global_step"])
    [part] = Path("runs/quickstart/1/wandb").glob("offline-run-*/*.wandb")
    whole = last_step(part) >= reached
    words = ["fit", "--ckpt_path=last", f"--trainer.max_epochs={reached // 11 + 1}"]
    if whole:
        assert main(words) == 0
    else:
        with pytest.warns(UserWarning, match="is cut off"):
            assert main(words) == 0
    parts = ["1", "2"] if whole else ["2"]
    rows = [row for part in parts for row in rows_in(Path("runs/quickstart") / part)]
    steps = [row["trainer/global_step"] for row in rows if "val/loss" in row]
    assert sorted({*steps}) == [*range(11, reached + 12, 11)]
