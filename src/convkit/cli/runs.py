"""``convkit runs``: a table of the runs under a folder; nothing here imports torch."""

import json
import math
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from convkit.cli.export import Parser
from convkit.errors import UserError
from convkit.metrics_file import read_metrics
from convkit.run_directory import CONFIG, METRICS
from convkit.run_state import STATES, UNKNOWN, read_state

HELP = """\
convkit runs [DIR] [--name PATTERN] [--state STATE] [--tag WORD] [--sort KEY] [--json]

A table of the runs under a folder (runs): state, epochs, lowest top-1 error of a validation and of the test in percent,
seconds of training (with a +: since it was resumed, without those before), when it started, tags.

  --name PATTERN  only runs NAME/N that fit: 'cifar*'
  --state STATE   only those that are running, finished, stopped, crashed or unknown
  --tag WORD      only those that were given this tag: convkit fit --tags+=WORD
  --sort KEY      name (default), state, epochs, error, test, seconds or started, least first; started- turns it round
  --json          the same as a list of objects
"""
KEYS = ("name", "state", "epochs", "error", "test", "seconds", "started")
HEADS = ("run", "state", "epochs", "val error", "test error", "seconds", "started", "tags")


class Row(NamedTuple):
    """What is told of a run; None is not known."""

    name: str
    path: str
    state: str
    epochs: int | None
    error: float | None
    test: float | None
    seconds: float | None
    started: str | None
    tags: list[str]
    resumed: bool  # ``seconds`` are those since


def main(command: str, arguments: list[str]) -> int:
    if "-h" in arguments or "--help" in arguments:
        print(HELP, end="")
        return 0
    parser = Parser(prog=command, add_help=False, allow_abbrev=False)
    parser.add_argument("folder", nargs="?", default="runs", type=Path, metavar="DIR")
    parser.add_argument("--name", default="*", metavar="PATTERN")
    parser.add_argument("--state", choices=STATES)
    parser.add_argument("--tag")
    parser.add_argument("--sort", choices=[*KEYS, *(f"{key}-" for key in KEYS)], default="name", metavar="KEY")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    if not given.folder.is_dir():
        raise UserError(f"there is no folder {given.folder}; name the folder of your runs")
    rows = [
        row
        for row in found(given.folder)
        if fnmatchcase(row.name, given.name) or fnmatchcase(row.name.rpartition("/")[0], given.name)
        if given.state in (None, row.state)
        if given.tag is None or given.tag in row.tags
    ]
    key = given.sort.removesuffix("-")
    rows.sort(key=lambda row: _order(row, key), reverse=given.sort.endswith("-"))
    rows.sort(key=lambda row: getattr(row, key) is None)  # what is not known comes last either way
    if given.json:
        print(json.dumps([row._asdict() for row in rows], indent=1, ensure_ascii=False))
    else:
        print("\n".join(table(rows)))
    return 0


def found(folder: Path) -> Iterator[Row]:
    """Every run NAME/N in a folder. What of it cannot be read is not known."""
    for config in folder.glob(f"*/*/{CONFIG}"):
        place = config.parent
        if place.is_symlink() or not place.name.isdecimal():
            continue
        try:
            yield _row(place)
        except Exception:  # one bad run does not hide the others
            yield Row(_name(place), str(place), UNKNOWN, None, None, None, None, None, [], False)


def _row(place: Path) -> Row:
    state, config = read_state(place), _config(place / CONFIG)
    epochs, error, test = _metrics(place / METRICS)
    tags = config.get("tags")
    return Row(
        _name(place),
        str(place),
        state["state"],
        state.get("epoch", epochs),
        error,
        test,
        state.get("seconds"),
        state.get("started"),
        [str(tag) for tag in tags] if isinstance(tags, list) else [],
        bool(config.get("ckpt_path")),
    )


def _name(place: Path) -> str:
    return f"{place.parent.name}/{place.name}"


def _metrics(path: Path) -> tuple[int | None, float | None, float | None]:
    """Epochs that were validated, the lowest validation error and the last test error."""
    try:
        rows = read_metrics(path).rows
    except OSError:
        rows = []
    validated = [row for row in rows if math.isfinite(row.get("val/top1_error", math.nan))]
    tested = [row["test/top1_error"] for row in rows if math.isfinite(row.get("test/top1_error", math.nan))]
    epochs = [int(row["epoch"]) + 1 for row in validated if math.isfinite(row.get("epoch", math.nan))]
    return (
        epochs[-1] if epochs else None,
        min((row["val/top1_error"] for row in validated), default=None),
        tested[-1] if tested else None,
    )


def _config(path: Path) -> dict[str, Any]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where PyYAML was built with libyaml
    try:
        config = yaml.load(path.read_text(encoding="utf-8"), loader)
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return config if isinstance(config, dict) else {}


def _order(row: Row, key: str) -> tuple[Any, ...]:
    """Runs of a name by their number."""
    name, _, number = row.name.rpartition("/")
    value = getattr(row, key)
    by_name = (name, int(number))
    return by_name if key == "name" else (value is None, value if value is not None else 0, *by_name)


def table(rows: list[Row]) -> Iterator[str]:
    """Aligned text, numbers to the right."""
    if not rows:
        yield "no runs"
        return
    cells = [
        (row.name, row.state, *(_shown(value) for value in (row.epochs, row.error, row.test)),
         _shown(row.seconds) + ("+" if row.resumed and row.seconds is not None else ""),
         (row.started or "").replace("T", " ")[:16], " ".join(row.tags))
        for row in rows
    ]  # fmt: skip
    widths = [max(len(each[column]) for each in [HEADS, *cells]) for column in range(len(HEADS))]
    for each in [HEADS, *cells]:
        line = (cell.rjust(width) if 2 <= column <= 5 else cell.ljust(width)
                for column, (cell, width) in enumerate(zip(each, widths, strict=True)))  # fmt: skip
        yield "  ".join(line).rstrip()


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"
