"""What a run's evaluations and its feature evolution have left as tables."""

import csv
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

SPLITS = ("val", "test")
QUANTITIES = ("winners", "projections", "filters")
Settled = dict[str, dict[str, list[tuple[int, float]]]]  # by quantity and stage: (epoch, value)


class OfClass(NamedTuple):
    """A row of the table of classes; None is not known, or of a class without images."""

    name: str
    images: int | None
    accuracy: float | None  # percent
    taken: str  # for which other class most often


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

    @property
    def classes(self) -> list[OfClass]:
        taken: dict[int, str] = {}
        for count, true, other in self.pairs:
            taken.setdefault(true, f"{self.names[other]} ({count})")
        return [
            OfClass(name, sum(self.rows[index]), self.accuracy(index), taken.get(index, ""))
            for index, name in enumerate(self.names)
        ]


def confusions(directory: Path, notes: list[str]) -> Iterator[tuple[str, Confusion]]:
    """By split, from ``<split>_confusion.csv``."""
    for split in SPLITS:
        path = directory / f"{split}_confusion.csv"
        if not path.is_file():
            continue
        try:
            with path.open(newline="", encoding="utf-8") as file:
                (_, *names), *rows = csv.reader(file)
            counts = [[int(cell) for cell in cells] for _, *cells in rows]
            if not names or any(len(row) != len(names) or min(row) < 0 for row in [*counts, [0] * len(counts)]):
                raise ValueError
            yield split, Confusion(names, counts)
        except (OSError, ValueError, csv.Error):
            notes.append(f"{path.name} cannot be read")


def classes(directory: Path, found: dict[str, Confusion], notes: list[str]) -> Iterator[tuple[str, list[OfClass]]]:
    """By split, the least accurate class first: from the confusion matrix, else from ``<split>_classes.json``."""
    for split in SPLITS:
        path = directory / f"{split}_classes.json"
        rows = []
        if split in found:
            rows = found[split].classes
        elif path.is_file():
            try:
                kept = json.loads(path.read_text(encoding="utf-8")).items()
                rows = [OfClass(name, None, None if share is None else 100 * share, "") for name, share in kept]
                if any(row.accuracy is not None and not 0 <= row.accuracy <= 100 for row in rows):
                    raise ValueError
            except (OSError, ValueError, TypeError, AttributeError):
                notes.append(f"{path.name} cannot be read")
                continue
        if rows:
            yield split, sorted(rows, key=lambda row: 101 if row.accuracy is None else row.accuracy)


def settled(path: Path, notes: list[str]) -> Settled:
    """From ``settling.csv``; what is not finite, of a fit that diverged, is left out and told."""
    found: Settled = {}
    if not path.is_file():
        return found
    broken = 0
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                for quantity in QUANTITIES:
                    if row[quantity]:
                        epoch, value = int(row["epoch"]), float(row[quantity])
                        if math.isfinite(value):
                            found.setdefault(quantity, {}).setdefault(row["stage"], []).append((epoch, value))
                        broken += not math.isfinite(value)
    except (OSError, ValueError, KeyError, TypeError, csv.Error):
        notes.append(f"{path.name} cannot be read")
    if broken:
        notes.append(f"{broken} values of {path.name} are not finite, and left out")
    return found
