"""What the files of a run say, as plain values: nothing here builds the network or the data set."""

import csv
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from convkit.errors import UserError
from convkit.run_directory import CONFIG, METRICS
from convkit.run_state import read_state

DROP, STEADY = 0.67, 0.99  # a rate that held steady and then falls by a third or more was dropped
SPLITS = ("val", "test")


@dataclass
class Curve:
    """A metric over the steps of the optimizer."""

    steps: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)


@dataclass
class Confusion:
    """Counts, rows the true class; the names of the classes."""

    names: list[str]
    rows: list[list[int]]

    @property
    def pairs(self) -> list[tuple[int, int, int]]:
        """(count, true, taken for) of all mistakes, the most frequent first."""
        found = [(count, true, taken) for true, row in enumerate(self.rows) for taken, count in enumerate(row)
                 if count and true != taken]  # fmt: skip
        return sorted(found, key=lambda each: (-each[0], each[1], each[2]))

    def accuracy(self, index: int) -> float | None:
        """Of a class, in percent; None where it has no images."""
        total = sum(self.rows[index])
        return 100 * self.rows[index][index] / total if total else None


@dataclass
class Facts:
    """A run as its files have it. ``notes``: what could not be read, in a line each."""

    name: str
    directory: Path
    state: dict[str, Any]
    config: dict[str, Any]  # flat, dotted keys
    curves: dict[str, Curve]
    confusion: dict[str, Confusion]
    settling: dict[str, dict[str, list[tuple[int, float]]]]  # by quantity and stage: (epoch, value)
    steps_per_epoch: float | None
    notes: list[str]

    @property
    def best(self) -> tuple[float, int] | None:
        """The lowest top-1 error of a validation in percent, and its epoch, counted from 1."""
        curve = self.curves.get("val/top1_error")
        epochs = self.curves.get("epoch")
        if not curve or not curve.values or not epochs:
            return None
        least = min(curve.values)
        step = curve.steps[curve.values.index(least)]
        return least, int(_at(epochs, step) or 0) + 1

    @property
    def epochs(self) -> int | None:
        """How many have ended."""
        if "epoch" in self.state:
            return int(self.state["epoch"])
        errors = self.curves.get("val/top1_error")
        per = self.steps_per_epoch
        return round(errors.steps[-1] / per) if errors and errors.steps and per else None

    def last(self, metric: str) -> float | None:
        curve = self.curves.get(metric)
        return curve.values[-1] if curve and curve.values else None

    @property
    def drops(self) -> list[tuple[float, str, float]]:
        """The steps at which a rate was dropped, a line for each, and what it was divided by."""
        found = []
        for name, curve in self.curves.items():
            if name.startswith("lr/"):
                for index in range(1, len(curve.values)):
                    before, after = curve.values[index - 1 : index + 1]
                    held = index < 2 or before >= STEADY * curve.values[index - 2]  # the end of a cosine falls, too
                    if held and 0 < after < DROP * before:
                        found.append((curve.steps[index], f"{name} {before:.3g} → {after:.3g}", before / after))
        return sorted(found)


def read(directory: Path) -> Facts:
    """The facts of the run in ``directory``.

    Raises:
        UserError: its configuration cannot be read.
    """
    notes: list[str] = []
    try:
        config = yaml.safe_load((directory / CONFIG).read_text(encoding="utf-8"))
        if not isinstance(config, dict):
            raise ValueError("it holds no configuration")
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"{directory / CONFIG} cannot be read: {' '.join(str(error).split())}") from error
    curves = _curves(directory / METRICS, notes)
    return Facts(
        f"{directory.parent.name}/{directory.name}",
        directory,
        read_state(directory),
        dict(flat(config)),
        curves,
        dict(_confusions(directory, notes)),
        _settling(directory / "evolution" / "settling.csv", notes),
        _steps_per_epoch(curves),
        notes,
    )


def flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """A nested configuration with dotted keys; a list of classes by their names."""
    for key, value in config.items():
        name = f"{prefix}{key}"
        if isinstance(value, list) and value and all(isinstance(each, dict) and "class_path" in each for each in value):
            for each in value:
                yield from flat(each.get("init_args") or {}, f"{name}.{each['class_path'].rpartition('.')[2]}.")
        elif isinstance(value, dict) and value:
            yield from flat(value, f"{name}.")
        else:
            yield name, value


def _curves(path: Path, notes: list[str]) -> dict[str, Curve]:
    """A cell or a row that is no number, as of a file that was half written, is left out and told."""
    if not path.is_file():
        notes.append("no metrics were written")
        return {}
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        notes.append(f"the last line of {METRICS} was cut, and is left out")  # 0.53 would be read as 0.5
        lines.pop()
    curves: dict[str, Curve] = {}
    bad, broken = 0, dict[str, float]()
    for row in csv.DictReader(lines):
        step = _number(row.get("step"))
        if step is None or not math.isfinite(step):
            bad += 1
            continue
        for name, text in row.items():
            if not isinstance(name, str) or name == "step" or not text:
                continue
            value = _number(text)
            if value is not None and math.isfinite(value):
                curve = curves.setdefault(name, Curve())
                curve.steps.append(step)
                curve.values.append(value)
            elif value is None:
                bad += 1
            else:
                broken.setdefault(name, step)
    if bad:
        notes.append(f"{bad} cells of {METRICS} are no numbers, and left out")
    notes += [f"{name} is not finite at step {step:.0f}, or later" for name, step in broken.items()]
    if not curves:
        notes.append(f"{METRICS} has no rows")
    return curves


def _number(text: Any) -> float | None:
    try:
        return float(text)
    except (TypeError, ValueError):
        return None


def _steps_per_epoch(curves: dict[str, Curve]) -> float | None:
    """From the last validation at the end of an epoch, as they are made."""
    errors, epochs = curves.get("val/loss"), curves.get("epoch")
    if not errors or not errors.steps or not epochs:
        return None
    last = errors.steps[-1]
    epoch = _at(epochs, last)
    return last / (epoch + 1) if epoch is not None and last else None


def _at(epochs: Curve, step: float) -> float | None:
    """The epoch, counted from 0, that a step was in: a test after the fit logs its own, the next, at the last one."""
    return min((epoch for known, epoch in zip(epochs.steps, epochs.values, strict=True) if known == step), default=None)


def _confusions(directory: Path, notes: list[str]) -> Iterator[tuple[str, Confusion]]:
    for split in SPLITS:
        path = directory / f"{split}_confusion.csv"
        if not path.is_file():
            continue
        try:
            with path.open(newline="", encoding="utf-8") as file:
                (_, *names), *rows = csv.reader(file)
            counts = [[int(cell) for cell in cells] for _, *cells in rows]
            if len(counts) != len(names) or any(len(row) != len(names) for row in counts):
                raise ValueError
            yield split, Confusion(names, counts)
        except (OSError, ValueError):
            notes.append(f"{path.name} cannot be read")


def _settling(path: Path, notes: list[str]) -> dict[str, dict[str, list[tuple[int, float]]]]:
    found: dict[str, dict[str, list[tuple[int, float]]]] = {}
    if not path.is_file():
        return found
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                for quantity in ("winners", "projections", "filters"):
                    if row[quantity]:
                        of_stage = found.setdefault(quantity, {}).setdefault(row["stage"], [])
                        of_stage.append((int(row["epoch"]), float(row[quantity])))
    except (OSError, ValueError, KeyError, TypeError):
        notes.append(f"{path.name} cannot be read")
    return found


def shown(value: Any) -> str:
    """A value of a configuration, for people."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
