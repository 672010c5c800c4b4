"""A folder of small images that fits into memory: read once, then as fast as the other data sets there."""

import os
from math import inf
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from convkit.datasets.batches import Split
from convkit.datasets.class_folders import ClassFolders, Rows, completed
from convkit.datasets.crops import CentreCrop
from convkit.datasets.fetch import ImageFiles, answers, in_chunks, processes, worker_loader
from convkit.datasets.file_batches import account
from convkit.datasets.files import Files
from convkit.datasets.resident import ResidentData
from convkit.datasets.statistics import known
from convkit.errors import UserError

_SHARE = 0.5  # of the machine's memory


class SmallFolder(ResidentData):
    """``image_folder`` for small images: the folders and splits are the same, the images lie in memory.

    Each is reduced or enlarged until its shorter side is ``size``, and the middle square is kept. ``augment`` says what
    may happen to it in training. ``indices`` are rows of ``files``.

    Args:
        root: the folder, laid out as ``image_folder`` wants it.
        size: side of the square, in pixels.
        workers: processes that decode; by default one a core, 8 at most. 0 decodes in the fit's own.
        on_error: ``stop`` ends the fit at a file that cannot be read, ``skip`` leaves it out and lists it in the run.
        mean: per channel, of values from 0 to 1; measured on the training images where it is not given.
        std: standard deviation per channel, likewise.
    """

    def __init__(
        self,
        root: str,
        size: int = 64,
        workers: int | None = None,
        on_error: Literal["stop", "skip"] = "stop",
        mean: list[float] | None = None,
        std: list[float] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if size < 1:
            raise ValueError(f"data.size is a number of pixels and cannot be {size}")
        self.workers, self.on_error = processes(workers), on_error
        for name, given in known(mean, std).items():
            setattr(self, name, given)
        self.folders = ClassFolders(Path(root).expanduser())
        self.class_names = list(self.folders.names)
        self.num_classes = len(self.class_names)
        self.image_shape = (3, size, size)
        self.view = CentreCrop(size, size)
        self.skipped: dict[str, str] = {}  # path of each image that was left out, and why

    def divide(self) -> tuple[dict[str, Split], dict[str, Tensor]]:
        self.files, rows = self.folders.load()
        rows = completed(self.files, rows, self)
        self._check_memory(len(np.unique(np.concatenate(list(rows.values())))))
        splits: dict[str, Split] = {}
        indices: dict[str, Tensor] = {}
        for name in ("train", "val", "test"):
            if name == "test" and np.array_equal(rows["test"], rows["val"]):
                splits["test"], indices["test"] = splits["val"], indices["val"]
            else:
                splits[name], indices[name] = self._read(self.files, rows[name])
        return splits, indices

    def _read(self, files: Files, rows: Rows) -> tuple[Split, Tensor]:
        """The images of some rows, and which of them could be read."""
        images = ImageFiles(files, self.view, self.seed)
        found = torch.empty((len(rows), *self.image_shape), dtype=torch.uint8)
        kept: list[int] = []
        for fetched in answers(worker_loader(images, in_chunks(rows), self.workers)):
            account(fetched, files, self.skipped if self.on_error == "skip" else None)
            found[len(kept) : len(kept) + len(fetched.rows)] = fetched.images
            kept += fetched.rows.tolist()
        return Split(found[: len(kept)], torch.from_numpy(files.targets[kept])), torch.tensor(kept)

    def _check_memory(self, count: int) -> None:
        size = self.image_shape[1]
        wanted, there = 3 * size * size * count / 1e9, _memory() / 1e9
        if wanted > _SHARE * there:
            raise UserError(
                f"{count:,} images of {size}×{size} take {wanted:.1f} GB of the machine's {there:.1f}; "
                "image_folder reads them as it goes, or give a smaller --data.size"
            )


def _memory() -> float:
    """The machine's, in bytes, where the system says so."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else inf
