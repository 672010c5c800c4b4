"""Reading ``metrics.csv``, also of a run that is writing it, or was killed while it did."""

import csv
import math
from pathlib import Path
from typing import NamedTuple


class Metrics(NamedTuple):
    """The rows, each with its ``step`` and the columns that it has a number for; what was left out."""

    rows: list[dict[str, float]]
    cut: bool = False  # the last line was, so that 0.53 could be read as 0.5
    bad: int = 0  # cells and rows that are no numbers


def read_metrics(path: Path) -> Metrics:
    """What can be relied on of a ``metrics.csv``; no rows where there is no file.

    Raises:
        OSError: it is there and cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    except FileNotFoundError:
        return Metrics([])
    cut = bool(lines) and not lines[-1].endswith("\n")
    rows: list[dict[str, float]] = []
    bad = 0
    try:
        for cells in csv.DictReader(lines[:-1] if cut else lines):
            # Cells beyond the head's have no name.
            numbers = {name: _number(text) for name, text in cells.items() if isinstance(name, str) and text}
            row = {name: value for name, value in numbers.items() if value is not None}
            bad += len(numbers) - len(row)
            if math.isfinite(row.get("step", math.nan)):
                rows.append(row)
            else:
                bad += 1
    except csv.Error:  # what follows cannot be told apart
        bad += 1
    return Metrics(rows, cut, bad)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
