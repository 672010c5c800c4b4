"""The directory of a run: where it lies, what is called what in it, and which checkpoint a path stands for.

``runs/<name>/<n>`` with ``runs/<name>/latest``: ``config.yaml``, ``checkpoints/{best,last}.ckpt``, ``metrics.csv``.
"""

import json
import os
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from convkit.errors import UserError, did_you_mean

CONFIG, METRICS, CHECKPOINTS, LATEST = "config.yaml", "metrics.csv", "checkpoints", "latest"
MADE_WITH = "made_with.json"  # versions of convkit, torch and of every plugin that was used
STARTED_FROM = "init_from.json"  # where the fit began with other weights


def locate(path: str | Path) -> tuple[Path, Path | None]:
    """The run at ``path``, and the checkpoint of it where ``path`` is one.

    ``path`` is ``runs/<name>/<n>``, ``…/latest``, ``runs/<name>``, or a checkpoint file of a run.

    Raises:
        UserError: there is no run there; names the nearest directory that is one.
    """
    path = Path(path).expanduser()
    if path.is_file() and path.parent.name == CHECKPOINTS:
        return path.parent.parent.resolve(), path.resolve()
    if (path / CONFIG).is_file():
        return path.resolve(), None
    if (path / LATEST / CONFIG).is_file():
        return (path / LATEST).resolve(), None
    if not path.exists():
        siblings = [str(entry) for entry in path.parent.glob("*") if entry.is_dir()]
        raise UserError(f"there is no run {path}{did_you_mean(str(path), siblings)}")
    raise UserError(f"{path} is not a run: it has no {CONFIG}")


def recorded_plugins(directory: Path) -> list[dict[str, Any]]:
    """The plugins that a run was made with, as :func:`convkit.made_with.made_with` has them; none where none says."""
    try:
        found = json.loads((directory / MADE_WITH).read_text(encoding="utf-8")).get("plugins", [])
    except (OSError, ValueError, AttributeError):  # made before there was such a file, or damaged
        return []
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def kept_checkpoint(directory: Path, prefer: str = "best") -> Path:
    """The ``prefer`` one of a run's checkpoints, else the best, else the last.

    Raises:
        UserError: it has none.
    """
    for name in (prefer, "best", "last"):
        if (path := directory / CHECKPOINTS / f"{name}.ckpt").is_file():
            return path
    raise UserError(f"{directory} has no checkpoint; was its fit stopped before the first epoch ended?")


def checkpoint_at(path: str | Path, prefer: str = "best", near: Iterable[object] = ()) -> Path:
    """``path`` where it is a file, the ``prefer`` checkpoint where it is a run.

    Args:
        near: what else a misspelt ``path`` may have meant.

    Raises:
        UserError: there is neither, or the run has no checkpoint.
    """
    file = Path(path).expanduser()
    if file.is_file():
        return file
    if file.is_dir():
        return kept_checkpoint(locate(file)[0], prefer)
    kept = list(file.parent.glob(f"*{file.suffix or '.ckpt'}")) if file.parent.is_dir() else []
    match = get_close_matches(str(path), [*map(str, kept), *map(str, near)], n=1)
    raise UserError(f"there is no checkpoint or run {path}{did_you_mean(str(path), match)}")


def find_checkpoint(path: str, root: str | Path, name: str | None, prefer: str = "last") -> Path:
    """The checkpoint file that ``--ckpt_path`` names.

    ``last`` and ``best`` stand for those of the newest run of ``name``, or of all runs; a run's directory for its
    ``prefer`` one.

    Raises:
        UserError: there is none.
    """
    if path in ("last", "best"):
        pattern = f"{name or '*'}/[0-9]*/{CHECKPOINTS}/{path}.ckpt"
        found = sorted(Path(root).glob(pattern), key=lambda file: file.stat().st_mtime)
        if not found:
            raise UserError(f"there is no {path} checkpoint under {Path(root) / (name or '')}; name a file or a run")
        return found[-1]
    return checkpoint_at(path, prefer, ["last", "best", *Path(root).glob("*"), *Path(root).glob("*/*")])


def allocate(root: str | Path, name: str) -> Path:
    """Make ``root/name/<n>`` with the next free number; two at once never get the same."""
    folder = Path(root) / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        numbers = [int(entry.name) for entry in folder.iterdir() if entry.name.isdecimal()]
        number = max(numbers, default=0) + 1
        while True:
            try:
                (folder / str(number)).mkdir()
                return folder / str(number)
            except FileExistsError:
                number += 1
    except OSError as error:
        raise UserError(f"no run can be made under {folder}: {error.strerror or error}") from error


def point_latest(run: Path) -> None:
    """Let ``latest`` beside ``run`` name it."""
    new = run.parent / f".latest-{run.name}"
    new.unlink(missing_ok=True)
    new.symlink_to(run.name)
    os.replace(new, run.parent / LATEST)
