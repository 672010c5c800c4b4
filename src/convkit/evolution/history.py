"""What became of a stage's features, epoch by epoch, in one file."""

import os
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # a page reads histories without torch
    from convkit.inspection.units import Units

Array = NDArray[np.generic]
# What numpy says of an ``.npz`` that was cut, is empty, or never was one.
UNREADABLE = (OSError, EOFError, KeyError, ValueError, IndexError, NotImplementedError, zipfile.BadZipFile, zlib.error)


class Moment(NamedTuple):
    """One stage at the end of one epoch, of C maps, P of them with pictures.

    ``values``, ``images``, ``rows``, ``columns``: C, the strongest activation of the epoch, its image (the position
    among the training images) and its unit. ``patches``: P×c×h×w uint8, what the network saw around it, augmented.
    ``projections``: P×c×h×w float16, by the network at the end of the epoch, 0 is nothing. ``seen``: P×h×w, which
    pixels of the patch the unit sees. ``filters``: a sample of the stage's weights.
    """

    values: Array
    images: Array
    rows: Array
    columns: Array
    patches: Array
    projections: Array
    seen: Array
    filters: Array


class History:
    """The moments of a stage by epoch, ascending; ``maps`` are those with pictures."""

    def __init__(self, stage: str, maps: Sequence[int], units: "Units | None" = None) -> None:
        self.stage, self.maps, self.units = stage, list(maps), units
        self.moments: dict[int, Moment] = {}

    def add(self, epoch: int, moment: Moment) -> None:
        """An epoch that was recorded before is replaced."""
        self.moments = dict(sorted({**self.moments, epoch: moment}.items()))

    def stacked(self, field: str) -> Array:
        """E×…: a field at all epochs."""
        return np.stack([getattr(moment, field) for moment in self.moments.values()])

    def save(self, folder: Path) -> None:
        """Write ``<stage>.npz``: each field of :class:`Moment`, epochs first; ``epochs`` and ``maps``.

        Beside the file, and renamed: a process that is killed meanwhile leaves the one before.
        """
        fields = {field: self.stacked(field) for field in Moment._fields}
        fields |= {"epochs": np.array(list(self.moments)), "maps": np.array(self.maps, dtype=np.int64)}
        target = self.path(folder)
        new = target.with_name(f".{target.name}.new")
        try:
            with new.open("wb") as file:
                np.savez(file, **fields)  # type: ignore[arg-type]
            os.replace(new, target)
        except BaseException:
            new.unlink(missing_ok=True)
            raise

    def load(self, folder: Path, epochs: Sequence[int]) -> bool:
        """Take these epochs from a file that was written for the same maps; whether there is one."""
        try:
            # numpy leaves a file open that it opened itself and cannot read.
            with self.path(folder).open("rb") as raw, np.load(raw, allow_pickle=False) as file:
                fields = {field: file[field] for field in Moment._fields}
                known, maps = file["epochs"].tolist(), file["maps"].tolist()
        except UNREADABLE:
            return False
        if maps != self.maps or any(len(values) != len(known) for values in fields.values()):
            return False
        for index, epoch in enumerate(known):
            if epoch in epochs:
                self.add(epoch, Moment(**{field: values[index] for field, values in fields.items()}))
        return True

    def path(self, folder: Path) -> Path:
        return folder / f"{self.stage}.npz"
