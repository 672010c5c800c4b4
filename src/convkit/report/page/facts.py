"""What the files of a run say, as plain values: nothing here builds the network or the data set."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from convkit.errors import UserError
from convkit.report.page.curves import Curve, curves, drops, epoch_at, steps_per_epoch
from convkit.report.page.tables import Confusion, OfClass, Settled, classes, confusions, settled
from convkit.run_directory import CONFIG, METRICS
from convkit.run_state import read_state


@dataclass
class Facts:
    """A run as its files have it. ``notes``: what could not be read, in a line each."""

    name: str
    directory: Path
    state: dict[str, Any]
    config: dict[str, Any]  # flat, dotted keys
    curves: dict[str, Curve]
    confusion: dict[str, Confusion]
    classes: dict[str, list[OfClass]]  # by split
    settling: Settled
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
        return least, int(epoch_at(epochs, step) or 0) + 1

    @property
    def epochs(self) -> int | None:
        """How many have ended."""
        if "epoch" in self.state:
            return int(self.state["epoch"])
        errors = self.curves.get("val/top1_error")
        per = self.steps_per_epoch
        return int(errors.steps[-1] / per + 1e-6) if errors and errors.steps and per else None

    @property
    def tags(self) -> list[str]:
        tags = self.config.get("tags")
        return [str(tag) for tag in tags] if isinstance(tags, list) else []

    @property
    def resumed(self) -> Path | None:
        """The checkpoint that its fit went on from."""
        given = self.config.get("ckpt_path")
        return Path(given) if given and isinstance(given, str) else None

    def last(self, metric: str) -> float | None:
        curve = self.curves.get(metric)
        return curve.values[-1] if curve and curve.values else None

    @property
    def drops(self) -> list[tuple[float, str, float]]:
        """The steps at which a rate was dropped, a line for each, and what it was divided by."""
        return drops(self.curves)


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
    state = read_state(directory)
    found = curves(directory / METRICS, notes)
    confusion = dict(confusions(directory, notes))
    return Facts(
        name=f"{directory.parent.name}/{directory.name}",
        directory=directory,
        state=state,
        config=dict(flat(config)),
        curves=found,
        confusion=confusion,
        classes=dict(classes(directory, confusion, notes)),
        settling=settled(directory / "evolution" / "settling.csv", notes),
        steps_per_epoch=steps_per_epoch(found, state.get("epoch")),
        notes=notes,
    )


def flat(config: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """A nested configuration with dotted keys; a list of classes by their names."""
    for key, value in config.items():
        name = f"{prefix}{key}"
        if isinstance(value, list) and value and all(map(_is_class, value)):
            for each in value:
                yield from flat(each.get("init_args") or {}, f"{name}.{each['class_path'].rpartition('.')[2]}.")
        elif isinstance(value, dict) and value:
            yield from flat(value, f"{name}.")
        else:
            yield name, value


def _is_class(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("class_path"), str)
        and isinstance(value.get("init_args") or {}, dict)
    )


def shown(value: Any) -> str:
    """A value of a configuration, for people."""
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except (TypeError, ValueError):  # a key that is a date, a list within itself
        return str(value)
