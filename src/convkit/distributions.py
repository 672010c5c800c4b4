"""What installed distributions say of themselves, read one by one: a file that cannot be read hides no other."""

import os
from collections.abc import Iterator, Mapping
from importlib.metadata import Distribution, EntryPoint, distributions
from typing import NamedTuple

from convkit.requirements import normalized

FILE = "entry_points.txt"


class Offered(NamedTuple):
    """Entry points of one distribution; ``wrong`` says why there are none though there is a file of them."""

    distribution: str
    version: str
    entries: tuple[EntryPoint, ...]
    wrong: str = ""


def offered(groups: frozenset[str]) -> Iterator[Offered]:
    """Of each distribution that has entry points in one of the groups, or a file of them that cannot be read.

    The first on the path hides others of its name, as for an import.
    """
    seen = set()
    for each in distributions():
        # Most know their name from the folder's; to ask for "Name" opens a file of each.
        name = getattr(each, "_normalized_name", None) or normalized(_origin(each)[0]).replace("-", "_")
        if name in seen:
            continue
        seen.add(name)
        try:
            entries = tuple(entry for entry in each.entry_points if entry.group in groups)
        except Exception as error:  # whatever a parser meets in a file of anybody's
            yield Offered(*_origin(each), (), _told(each, error))
        else:
            if entries:
                yield Offered(*_origin(each), entries)


def _origin(found: Distribution) -> tuple[str, str]:
    """Name and version; question marks where what is installed lacks its metadata."""
    # Half an uninstallation, or a broken one, is no reason for the other plugins to fail.
    try:
        told: Mapping[str, str] = found.metadata  # type: ignore[assignment]
        return told.get("Name") or "?", told.get("Version") or "?"
    except Exception:
        return "?", "?"


def _told(found: Distribution, error: Exception) -> str:
    """The file, the line of it that is none, and the way out."""
    folder = getattr(found, "_path", None)  # of what is no folder, as in an archive, the place that it lies in
    place = os.path.abspath(f"{folder}/{FILE}") if folder is not None else f"the {FILE} in {found.locate_file('')}"
    name = _origin(found)[0]
    return f"{place} cannot be read: {_why(found, error)}; repair or uninstall {name}"


def _why(found: Distribution, error: Exception) -> str:
    if isinstance(error, UnicodeError):
        return "it is not UTF-8"
    for number, line in enumerate((found.read_text(FILE) or "").splitlines(), 1):
        text = line.strip()
        if text and not text.startswith(("#", "[")) and "=" not in text:
            return f"line {number} has no ="
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
