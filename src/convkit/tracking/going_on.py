"""Which W&B run a resumed fit goes on with, and what that has seen."""

import json
import math
import subprocess
import warnings
from pathlib import Path
from typing import Any, NamedTuple

from convkit.metrics_file import read_metrics
from convkit.run_directory import METRICS

STEP = "trainer/global_step"  # the x-axis of every curve
LOWEST = ("train/loss", "val/loss", "val/top1_error", "val/top5_error")  # of these the summary has the minimum
PATIENCE = 60  # seconds that reading a W&B file may take


class GoingOn(NamedTuple):
    """A W&B run by its id; the lowest value so far of each of :data:`LOWEST`, as the rows' file has it."""

    run_id: str
    lowest: dict[str, float]


def to_go_on_with(checkpoint: Path, contents: dict[str, Any]) -> GoingOn | None:
    """The W&B run that a fit from this checkpoint continues; None where it begins one of its own.

    Of its own is a fit that goes back: from a checkpoint before the last one of its run, or from one that another
    fit has gone on from already. Two fits in one W&B run would be one curve that jumps. And one whose offline part
    before is not whole, as a fit leaves it that was killed: W&B's process writes late. It would be one with a hole.
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
    before = [row for row in _rows(own) if row["step"] <= step]
    for part in own.glob(f"wandb/offline-run-*-{run_id}/*.wandb"):
        if last_step(part) < max((row["step"] for row in before), default=0):
            warnings.warn(
                f"the W&B run in {part.parent} is cut off: this fit begins one of its own, with the curves so far; "
                "leave that folder out of wandb sync",
                stacklevel=2,
            )
            return None
    found = {name: [row[name] for row in before if not math.isnan(row.get(name, math.nan))] for name in LOWEST}
    return GoingOn(run_id, {name: min(values) for name, values in found.items() if values})


def _validated(run: Path) -> float:
    """The step of the last validation in a run's metrics; -1 where none can be read."""
    return max((row["step"] for row in _rows(run) if "val/loss" in row), default=-1)


def _rows(run: Path) -> list[dict[str, float]]:
    try:
        return read_metrics(run / METRICS).rows
    except OSError:
        return []


def last_step(path: Path) -> float:
    """The last step in the history of a ``.wandb`` file, by W&B's own reader; -1 where that finds none."""
    from wandb.util import get_core_path

    command = [get_core_path(), "leet", "inspect", "--no-observability", "--json", "--run-file", str(path)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    except (OSError, subprocess.TimeoutExpired):
        return -1
    last = -1.0
    for line in done.stdout.splitlines():
        record = json.loads(line) if '"history"' in line else {}
        if record.get("type") == "history":
            last = max(last, record["history"]["item"].get(STEP, -1))
    return last
