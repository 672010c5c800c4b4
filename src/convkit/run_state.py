"""How a fit stands: ``state.json`` in its run, written while it goes and read without torch."""

import json
import math
import os
import socket
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from convkit.run_directory import CHECKPOINTS, METRICS

STATE = "state.json"
RUNNING, FINISHED, STOPPED, CRASHED, UNKNOWN = STATES = ("running", "finished", "stopped", "crashed", "unknown")
SILENCE = 24 * 3600  # seconds without a sign of life, after which a fit on another machine counts as gone


def write_state(directory: Path, state: dict[str, Any]) -> None:
    """Replace the file, whole; with the time and with the process that writes.

    Raises:
        OSError: it cannot be written.
    """
    process = {"host": socket.gethostname(), "pid": os.getpid(), "born": born(os.getpid())}
    new = directory / f".{STATE}.new"
    new.write_text(json.dumps({**state, "updated": now(), "process": process}, indent=1) + "\n", encoding="utf-8")
    os.replace(new, directory / STATE)


def now() -> str:
    """``2026-05-01T12:00:00+00:00``."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def read_state(directory: Path) -> dict[str, Any]:
    """What the file says, with ``state`` as it is by now: one that a kill left at ``running`` has crashed.

    What is of another type than a fit writes is left out. Without a file, or with one that cannot be read: ``finished``
    where what a fit writes at its end is there, else ``unknown``.
    """
    try:
        found = json.loads((directory / STATE).read_text(encoding="utf-8"))
        if not isinstance(found, dict) or found.get("state") not in STATES:
            raise ValueError
    except (OSError, ValueError):
        return {"state": FINISHED if (directory / "val_classes.json").is_file() else UNKNOWN}
    found = {key: value for key, value in found.items() if _fits(key, value)}
    if found["state"] == RUNNING and not _alive(found.get("process"), directory):
        return {**found, "state": CRASHED, "error": "the process is gone, and told no reason"}
    return found


def _fits(key: str, value: Any) -> bool:
    """Whether a field holds what it should; of one that is not known nothing is expected."""
    if key in ("epoch", "step"):
        return isinstance(value, int) and not isinstance(value, bool) and value >= 0
    if key == "seconds":
        return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < math.inf
    return key not in ("started", "updated", "error") or isinstance(value, str)


def _alive(process: Any, directory: Path) -> bool:
    if not isinstance(process, dict) or not isinstance(process.get("pid"), int) or process["pid"] < 1:
        return False
    if process.get("host") != socket.gethostname():
        return time.time() - _last_sign(directory) < SILENCE
    try:
        os.kill(process["pid"], 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # another user's, or no such question on this system
        pass
    return process.get("born") == born(process["pid"])  # else the number has passed to another


def _last_sign(directory: Path) -> float:
    files = [directory / STATE, directory / METRICS, *(directory / CHECKPOINTS).glob("*.ckpt")]
    return max((file.stat().st_mtime for file in files if file.exists()), default=0.0)


def born(pid: int) -> int | None:
    """When a process began, in ticks since the machine did; None where the system does not tell."""
    try:
        # The name, in brackets, may hold blanks: the fields are counted from behind it (proc(5), field 22).
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None
