"""What a W&B run in a folder holds, read back with W&B's own reader."""

import json
import subprocess
import time
from pathlib import Path
from typing import Any, NamedTuple

from wandb.util import get_core_path


class Recorded(NamedTuple):
    """``config`` nested, ``rows`` of the history, ``metrics`` and ``artifacts`` as recorded, ``run`` and exit code."""

    run: dict[str, Any]
    config: dict[str, Any]
    rows: list[dict[str, Any]]
    metrics: list[dict[str, Any]]
    artifacts: list[dict[str, Any]]
    exit_code: int
    files: Path

    def last(self, key: str) -> Any:
        return [row[key] for row in self.rows if key in row][-1]

    def values(self, key: str) -> list[Any]:
        return [row[key] for row in self.rows if key in row]


def recorded(folder: Path) -> Recorded:
    """Of the one W&B run in ``folder``, once its writer, another process, is done with the file."""
    [path] = folder.glob("wandb/*run-*/*.wandb")
    deadline = time.monotonic() + 30
    while not (found := _records(path)) or found[-1]["type"] != "exit":
        assert time.monotonic() < deadline, "the file never ended"
        time.sleep(0.1)
    of_kind: dict[str, list[dict[str, Any]]] = {}
    for record in found:
        of_kind.setdefault(record["type"], []).append(record.get(record["type"], {}))
    config: dict[str, Any] = {}
    for record in [*of_kind["run"], *of_kind.get("config", [])]:
        config |= (record if "update" in record else record["config"])["update"]
    return Recorded(
        of_kind["run"][0],
        config,
        [record["item"] for record in of_kind.get("history", [])],
        of_kind.get("metric", []),
        of_kind.get("artifact", []),
        of_kind["exit"][0].get("exit_code", 0),
        path.parent / "files",
    )


def rows_in(folder: Path) -> list[dict[str, Any]]:
    """The history of the one W&B run in ``folder``, also of one that never ended."""
    [path] = folder.glob("wandb/*run-*/*.wandb")
    return [record["history"]["item"] for record in _records(path) if record["type"] == "history"]


def _records(path: Path) -> list[dict[str, Any]]:
    # What `wandb leet inspect --json` starts.
    command = [get_core_path(), "leet", "inspect", "--no-observability", "--json", "--run-file", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return [json.loads(line) for line in done.stdout.splitlines()]
