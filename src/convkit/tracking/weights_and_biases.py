"""Weights & Biases: one run a job, offline by default, and never the reason that a fit fails or waits."""

import csv
import os
import shutil
import warnings
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch.loggers import WandbLogger

from convkit.run_directory import METRICS
from convkit.tracking.sparing import one_line, spared

Mode = Literal["offline", "online"]
STEP = "trainer/global_step"  # the x-axis of every curve
LOWEST = ("train/loss", "val/loss", "val/top1_error", "val/top5_error")  # of these the summary has the minimum
# Seconds that a server may take: to answer at the start, and to take at the end what it has not got yet. What it has
# not taken by then lies on the disk, for `wandb sync`.
TIMEOUTS = {"login_timeout": 10, "init_timeout": 15, "finish_timeout": 60}
FULL = 16_384  # bytes


class Tracker(WandbLogger):
    """The W&B run of a fit; ``continues`` one that has the rows before this fit's first step already."""

    def __init__(self, run: Any, continues: bool) -> None:
        super().__init__(experiment=run)
        self.continues = continues

    def finish(self, status: int) -> None:
        """Write what is not written yet, and end the run with an exit status."""
        with spared("Weights & Biases"):
            folder = Path(self.experiment.settings.sync_dir)
            self.experiment.finish(exit_code=status)
            if folder.is_dir() and shutil.disk_usage(folder).free < FULL:  # its writer says nothing
                warnings.warn(f"the disk of {folder} is full: what W&B has of this run may be cut off", stacklevel=2)


def start(mode: Mode, project: str, folder: Path, run_id: str | None = None) -> Tracker | None:
    """A W&B run in ``folder``, named after it; offline where the server does not answer; None where nothing works.

    Args:
        run_id: the W&B run to go on with.
    """
    if os.environ.get("WANDB_MODE") in ("offline", "disabled"):  # W&B's own switch, and the more careful one
        mode = "offline"
    modes: list[Mode] = ["online", "offline"] if mode == "online" else ["offline"]
    for each in modes:
        try:
            run = _started(each, project, folder, run_id)
        except Exception as error:  # no tracker is worth a fit
            instead = "this run is written offline, for wandb sync" if each == "online" else "off in this run"
            warnings.warn(f"Weights & Biases: {instead}: {one_line(error)}", stacklevel=2)
            shutil.rmtree(folder / "wandb", ignore_errors=True)  # no run, and `wandb sync` would take it for one
        else:
            return Tracker(run, continues=run_id is not None)
    return None


def _started(mode: Mode, project: str, folder: Path, run_id: str | None) -> Any:
    import wandb

    timeouts = {name: value for name, value in TIMEOUTS.items() if f"WANDB_{name.upper()}" not in os.environ}
    going_on: dict[str, Any] = {"id": run_id, "resume": "allow"} if run_id else {}
    run = wandb.init(
        project=project,
        name=f"{folder.parent.name}/{folder.name}",
        dir=str(folder.resolve()),  # its writer is a process of its own, with a working directory of its own
        mode=mode,
        reinit="create_new",  # two fits in one process are two runs
        settings=wandb.Settings(silent=True, console="off", **timeouts),  # type: ignore[arg-type]
        **going_on,
    )
    run.define_metric(STEP, hidden=True)
    run.define_metric("*", step_metric=STEP, step_sync=True)
    for name in LOWEST:
        run.define_metric(name, step_metric=STEP, step_sync=True, summary="min")
    return run


def to_go_on_with(checkpoint: Path, contents: dict[str, Any]) -> str | None:
    """The id of the W&B run that a fit from this checkpoint continues; None where it begins one of its own.

    Of its own is a fit that goes back: from a checkpoint before the last one of its run, or from one that another
    fit has gone on from already. Two fits in one W&B run would be one curve that jumps.
    """
    run_id: str | None = contents.get("convkit", {}).get("wandb")
    if run_id is None:
        return None
    step, own = contents["global_step"], checkpoint.parent.parent
    if checkpoint.name != "last.ckpt" and _validated(own) > step:
        return None
    others = {folder.parent.parent for folder in own.parent.parent.glob(f"*/*/wandb/*run-*-{run_id}")} - {own}
    if any(_validated(other) > step for other in others):
        return None
    return run_id


def _validated(run: Path) -> int:
    """The step of the last validation in a run's metrics; -1 where none can be read."""
    try:
        with (run / METRICS).open(newline="") as file:
            return max((int(row["step"]) for row in csv.DictReader(file) if row.get("val/loss")), default=-1)
    except (OSError, ValueError, KeyError, csv.Error):
        return -1


def keep(tracker: Tracker, checkpoint: Path, metadata: dict[str, Any]) -> None:
    """The checkpoint as an artifact, from where it lies: nothing is copied before it is sent."""
    import wandb

    with spared("the checkpoint is no artifact"):
        run = tracker.experiment
        artifact = wandb.Artifact(f"model-{run.id}", type="model", metadata=metadata)
        artifact.add_file(str(checkpoint), name=checkpoint.name, policy="immutable", skip_cache=True)
        run.log_artifact(artifact, aliases=["best"])
