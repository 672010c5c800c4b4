"""Weights & Biases: one run a job, offline by default, and never the reason that a fit fails or waits."""

import os
import shutil
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch.loggers import Logger, WandbLogger

from convkit.tracking.going_on import LOWEST, STEP, GoingOn
from convkit.tracking.sparing import one_line, spared

Mode = Literal["offline", "online"]
# Seconds that a server may take: to answer at the start, and to take at the end what it has not got yet. What it has
# not taken by then lies on the disk, for `wandb sync`.
TIMEOUTS = {"login_timeout": 10, "init_timeout": 15, "finish_timeout": 60}
FULL = 16_384  # bytes


class Tracker(WandbLogger):
    """The W&B run of a fit; ``continues`` one that has the rows before this fit's first step already."""

    def __init__(self, run: Any, before: GoingOn | None) -> None:
        super().__init__(experiment=run)
        self.continues = before is not None
        self._lowest = dict(before.lowest) if before else {}

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """A row; the summary's minima are those of the whole run, of which W&B's process knows this part alone."""
        super().log_metrics(metrics, step)
        seen = {name: float(metrics[name]) for name in self._lowest.keys() & metrics.keys()}
        self._lowest |= {name: value for name, value in seen.items() if value < self._lowest[name]}
        if seen:
            self.experiment.summary.update({name: {"min": self._lowest[name]} for name in seen})

    def finish(self, status: int) -> None:
        """Write what is not written yet, and end the run with an exit status."""
        with spared("Weights & Biases"):
            folder = Path(self.experiment.settings.sync_dir)
            self.experiment.finish(exit_code=status)
            if folder.is_dir() and shutil.disk_usage(folder).free < FULL:  # its writer says nothing
                warnings.warn(f"the disk of {folder} is full: what W&B has of this run may be cut off", stacklevel=2)


def start(mode: Mode, project: str, folder: Path, before: GoingOn | None = None) -> Tracker | None:
    """A W&B run in ``folder``, named after it; offline where the server does not answer; None where nothing works, or
    where W&B is disabled.

    Args:
        before: the W&B run to go on with.
    """
    switch = os.environ.get("WANDB_MODE")  # W&B's own; it is heard where it is the more careful one
    if switch == "disabled":
        return None
    if switch in ("offline", "dryrun"):
        mode = "offline"
    modes: list[Mode] = ["online", "offline"] if mode == "online" else ["offline"]
    for each in modes:
        try:
            run = _started(each, project, folder, before)
        except Exception as error:  # no tracker is worth a fit
            instead = "this run is written offline, for wandb sync" if each == "online" else "off in this run"
            warnings.warn(f"Weights & Biases: {instead}: {one_line(error)}", stacklevel=2)
            shutil.rmtree(folder / "wandb", ignore_errors=True)  # no run, and `wandb sync` would take it for one
        else:
            return Tracker(run, before)
    return None


def _started(mode: Mode, project: str, folder: Path, before: GoingOn | None) -> Any:
    import wandb

    timeouts = {name: value for name, value in TIMEOUTS.items() if f"WANDB_{name.upper()}" not in os.environ}
    going_on: dict[str, Any] = {"id": before.run_id, "resume": "allow"} if before else {}
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
    _define_minima(run)
    return run


def _define_minima(run: Any) -> None:
    """Let the summary of a W&B run have the minimum of each of :data:`LOWEST`."""
    for name in LOWEST:
        run.define_metric(name, step_metric=STEP, step_sync=True, summary="min")


def watch_minima(loggers: Iterable[Logger]) -> None:
    """As in a fit's own W&B run, for loggers of W&B's that a user brings."""
    for logger in loggers:
        if isinstance(logger, WandbLogger) and not isinstance(logger, Tracker):
            with spared("Weights & Biases: the summary has no minima"):
                _define_minima(logger.experiment)


def keep(loggers: Iterable[Logger], checkpoint: Path, metadata: dict[str, Any]) -> None:
    """The checkpoint as an artifact, from where it lies: nothing is copied before it is sent."""
    import wandb

    for logger in loggers:
        if isinstance(logger, WandbLogger):
            with spared("the checkpoint is no artifact"):
                run = logger.experiment
                artifact = wandb.Artifact(f"model-{run.id}", type="model", metadata=metadata)
                artifact.add_file(str(checkpoint), name=checkpoint.name, policy="immutable", skip_cache=True)
                run.log_artifact(artifact, aliases=["best"])
