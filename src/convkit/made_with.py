"""What a run was made with: versions, the revision of the code around it, the plugins it uses, and its data."""

import hashlib
import platform
import subprocess
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import torch

from convkit import __version__, plugins
from convkit.datasets.base import ImageData
from convkit.datasets.features import FeatureData
from convkit.datasets.photographs import Photographs
from convkit.datasets.resident import ResidentData

PLACES = {"architecture": ("model", "architecture"), "dataset": ("data",), "schedule": ("model", "schedule")}
PATIENCE = 10.0  # seconds that git may take, as on a sleepy network drive


def made_with(config: dict[str, Any], data: Any) -> dict[str, Any]:
    """One plain dict, as ``made_with.json`` and every checkpoint of a run hold it.

    ``git`` is of the repository that the fit was started in, None where there is none. ``plugins``: those that
    ``config`` names, with the distributions that brought them. ``data``: see :func:`data_facts`.
    """
    return {
        "convkit": __version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "lightning": version("lightning"),
        "git": git_state(),
        "plugins": list(plugins_of(config)),
        "data": data_facts(data),
    }


def git_state() -> dict[str, Any] | None:
    """The commit of the working directory's repository, and whether a file that git knows differs from it."""
    try:
        revision, changes = (
            subprocess.run(["git", *words], capture_output=True, text=True, check=True, timeout=PATIENCE).stdout.strip()
            for words in (("rev-parse", "--verify", "HEAD"), ("status", "--porcelain", "--untracked-files=no"))
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return {"revision": revision, "changed": bool(changes)}


def plugins_of(config: dict[str, Any]) -> Iterator[dict[str, str]]:
    """The plugins in a configuration; a class that no distribution of plugins brings is none."""
    for kind, keys in PLACES.items():
        value: Any = config
        for key in keys:
            value = (value or {}).get(key)
        path = value.get("class_path") if isinstance(value, dict) else value
        plugin = plugins.behind(kind, path) if isinstance(path, str) else None
        if plugin is not None and plugin.distribution:
            yield {
                "kind": kind,
                "name": plugin.name,
                "distribution": plugin.distribution,
                "version": plugin.version,
                "path": plugin.target,
            }


def data_facts(data: Any) -> dict[str, Any]:
    """The number of images of each split, and a SHA-256 of what they are; after ``setup``.

    Of images in memory it is over every byte and label, in order: the same whenever the images are. Of files over
    their names below the root, their sizes and their classes, sorted by name: nothing is opened. None of a data set
    of another kind, which alone knows what it is.
    """
    if isinstance(data, FeatureData):
        data = data.images
    if isinstance(data, ResidentData):
        counts = {name: len(split.images) for name, split in data.splits.items()}
        return {"sha256": _of_memory(data), "images": counts}
    if isinstance(data, Photographs):
        return {"sha256": _of_files(data), "images": {name: len(rows) for name, rows in data.splits.items()}}
    return {"sha256": None, "images": {}}


def _of_memory(data: ResidentData) -> str:
    found = _begun(data)
    for name in sorted(data.splits):
        images, targets = data.splits[name]
        found.update(f"{name} {tuple(images.shape)}\n".encode())
        for part in (images, targets):
            found.update(part.cpu().contiguous().numpy())
    return str(found.hexdigest())


def _of_files(data: Photographs) -> str:
    found = _begun(data)
    for name in sorted(data.splits):
        found.update(f"{name}\n".encode())
        rows = data.splits[name].tolist()
        for file, size, target in sorted((*data.files.entry(row), int(data.files.targets[row])) for row in rows):
            found.update(file + f"\0{size} {target}\n".encode())
    return str(found.hexdigest())


def _begun(data: ImageData) -> Any:
    return hashlib.sha256("\n".join([*data.class_names, ""]).encode(errors="surrogateescape"))
