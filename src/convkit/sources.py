"""What ``init_from`` may name: a run, a checkpoint or other file of weights, or weights that timm publishes."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from convkit.run_directory import checkpoint_at
from convkit.timm_weights import timm_weights
from convkit.weights import read_weights

TIMM = "timm:"


class Source(NamedTuple):
    """Where weights come from: as it was given, the file, and the names of its classes in order, if it tells them."""

    given: str
    path: Path
    sha256: str
    class_names: list[str] | None


def read_source(given: str) -> tuple[Source, Mapping[str, Any]]:
    """The source, and the contents of its file.

    Args:
        given: a run (its best checkpoint), a file, or ``timm:`` with a name of ``timm.list_pretrained()``.

    Raises:
        UserError: there is nothing there, it is damaged, or holds more than tensors and plain values.
    """
    contents: Mapping[str, Any]
    if given.startswith(TIMM):
        path, contents = timm_weights(given.removeprefix(TIMM))
    else:
        path = checkpoint_at(given)
        contents = read_weights(path)
    about = contents.get("convkit")
    names = about.get("class_names") if isinstance(about, Mapping) else None
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Source(given, path.resolve(), digest, [str(name) for name in names] if names else None), contents
