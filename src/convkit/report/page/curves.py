"""The curves of a run, from its ``metrics.csv``; the length of an epoch and the drops of a rate by them."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from convkit.metrics_file import read_metrics
from convkit.run_directory import METRICS

DROP, STEADY = 0.67, 0.99  # a rate that held steady and then falls by a third or more was dropped


@dataclass
class Curve:
    """A metric over the steps of the optimizer."""

    steps: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)


def curves(path: Path, notes: list[str]) -> dict[str, Curve]:
    """A cell or a row that is no number, as of a file that was half written, is left out and told."""
    if not path.is_file():
        notes.append("no metrics were written")
        return {}
    try:
        rows, cut, bad = read_metrics(path)
    except OSError as error:
        notes.append(f"{METRICS} cannot be read: {error.strerror}")
        return {}
    if cut:
        notes.append(f"the last line of {METRICS} was cut, and is left out")
    found: dict[str, Curve] = {}
    broken: dict[str, float] = {}
    for row in rows:
        step = row.pop("step")
        for name, value in row.items():
            if math.isfinite(value):
                curve = found.setdefault(name, Curve())
                curve.steps.append(step)
                curve.values.append(value)
            else:
                broken.setdefault(name, step)
    if bad:
        notes.append(f"{bad} cells and rows of {METRICS} are no numbers, and left out")
    notes += [f"{name} is not finite at step {step:.0f}, or later" for name, step in broken.items()]
    if not found:
        notes.append(f"{METRICS} has no rows")
    return found


def epoch_at(epochs: Curve, step: float) -> float | None:
    """The epoch, counted from 0, that a step was in: a test after the fit logs its own, the next, at the last one."""
    return min((epoch for known, epoch in zip(epochs.steps, epochs.values, strict=True) if known == step), default=None)


def steps_per_epoch(found: Mapping[str, Curve], ended: int | None) -> float | None:
    """From the validations of epochs that have ended; None where none is known to.

    Step s of epoch e, counted from 0, is at most the length of (e + 1) epochs; of a validation at an epoch's end it
    is just that, of one in mid-epoch less. So the largest of these quotients is the length.

    Args:
        ended: how many epochs have, where that is known.
    """
    losses, epochs = found.get("val/loss"), found.get("epoch")
    if not losses or not epochs:
        return None
    at: dict[float, float] = {}
    for step, epoch in zip(epochs.steps, epochs.values, strict=True):
        at[step] = min(epoch, at.get(step, epoch))
    begun = max(epochs.values)  # those before it have ended
    whole = (step / (at[step] + 1) for step in losses.steps
             if step in at and at[step] >= 0 and (ended is None or at[step] < max(ended, begun)))  # fmt: skip
    return max(whole, default=0.0) or None


def drops(found: Mapping[str, Curve]) -> list[tuple[float, str, float]]:
    """The steps at which a rate was dropped, a line for each, and what it was divided by."""
    told = []
    for name, curve in found.items():
        if name.startswith("lr/"):
            for index in _dropped(curve.values):
                before, after = curve.values[index - 1 : index + 1]
                told.append((curve.steps[index], f"{name} {before:.3g} → {after:.3g}", before / after))
    return sorted(told)


def _dropped(rates: list[float]) -> Iterator[int]:
    """Where a rate fell that had held, or that had been dropped in the row before: the end of a cosine falls, too."""
    last = 0
    for index in range(1, len(rates)):
        before, after = rates[index - 1 : index + 1]
        held = index < 2 or last == index - 1 or before >= STEADY * rates[index - 2]
        if held and 0 < after < DROP * before and math.isfinite(before / after):
            last = index
            yield index
