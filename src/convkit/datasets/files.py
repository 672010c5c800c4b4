"""Which image files there are, as two flat arrays: a million of them are no million Python objects."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convkit.errors import UserError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")


class Files:
    """Image files under ``root``, each of a class. Holds about 50 bytes a file, however many processes share it."""

    def __init__(self, root: Path, names: Sequence[bytes], targets: Sequence[int]) -> None:
        self.root = root
        self._names = np.frombuffer(b"".join(names), dtype=np.uint8)
        self._ends = np.cumsum([len(name) for name in names], dtype=np.int64)
        self.targets = np.asarray(targets, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.targets)

    def name(self, index: int) -> bytes:
        """The path below ``root``."""
        return self._names[self._ends[index - 1] if index else 0 : self._ends[index]].tobytes()

    def path(self, index: int) -> bytes:
        return os.path.join(os.fsencode(self.root), self.name(index))

    def entry(self, index: int) -> tuple[bytes, int]:
        """The path below ``root`` and the size in bytes, -1 of a file that cannot be asked."""
        try:
            return self.name(index), os.stat(self.path(index)).st_size
        except OSError:
            return self.name(index), -1

    def stamp(self, rows: NDArray[np.int64]) -> bytes:
        """What changes when one of these files does: names, sizes and times of change."""
        stats = np.full((len(rows), 2), -1, dtype=np.int64)
        for place, row in enumerate(rows.tolist()):
            try:
                status = os.stat(self.path(row))
            except OSError:
                continue  # decoding it will say so
            stats[place] = status.st_size, status.st_mtime_ns
        names = b"\0".join(self.name(row) for row in rows.tolist())
        return os.fsencode(self.root.resolve()) + b"\0" + names + stats.tobytes()

    @property
    def nbytes(self) -> int:
        return self._names.nbytes + self._ends.nbytes + self.targets.nbytes


def folders(root: Path) -> list[str]:
    """The names of the folders in ``root``, in order; hidden ones apart.

    Raises:
        UserError: there is no such folder, or it cannot be read.
    """
    return [entry.name for entry in _entries(root) if entry.is_dir()]


def holds_images(root: Path) -> bool:
    """Whether image files lie directly in ``root``."""
    return any(_is_image(entry) for entry in _entries(root))


def scan(root: Path, folder: str, classes: Sequence[str], ignored: Sequence[str] = ()) -> tuple[list[bytes], list[int]]:
    """Path below ``root`` and class of every image in ``root/folder/CLASS``, at any depth, sorted within a class.

    Raises:
        UserError: a folder has no images or cannot be read, or is of none of the ``classes``.
    """
    names: list[bytes] = []
    targets: list[int] = []
    place, above = root / folder, len(os.fsencode(root)) + 1
    index = {name: target for target, name in enumerate(classes)}
    for name in folders(place):
        if name in ignored:
            continue
        if name not in index:
            raise UserError(f"{place / name} is of a class that the training images lack; remove it or add some")
        found = sorted(path[above:] for path in _images(place / name))
        if not found:
            raise UserError(f"the class folder {place / name} has no images ({', '.join(SUFFIXES[:3])}, …); remove it")
        names += found
        targets += [index[name]] * len(found)
    return names, targets


def _images(folder: Path, inside: frozenset[str] = frozenset()) -> Iterator[bytes]:
    for entry in _entries(folder):
        if _is_image(entry):
            yield os.fsencode(entry.path)
        elif entry.is_dir():
            real = os.path.realpath(entry.path)
            if real not in inside:  # a link to a folder that it lies in
                yield from _images(Path(entry.path), inside | {real})


def _is_image(entry: os.DirEntry[str]) -> bool:
    return entry.name.lower().endswith(SUFFIXES) and not entry.is_dir()


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return sorted(
                (entry for entry in found if not entry.name.startswith(".")), key=lambda entry: os.fsencode(entry.name)
            )
    except FileNotFoundError:
        raise UserError(f"there is no folder {folder}; set --data.root to the folder of your images") from None
    except NotADirectoryError:
        raise UserError(f"{folder} is no folder; set --data.root to the folder of your images") from None
    except OSError as error:
        raise UserError(f"{folder} cannot be read: {error.strerror or error}") from error
