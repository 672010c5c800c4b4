"""Decoded images in one file that is mapped into memory: uint8, the shorter side at most ``side`` pixels."""

import contextlib
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray
from torch import Tensor

from convkit.errors import FULL, UserError

_PIXELS, _INDEX, _LIMIT = "pixels.u8", "index.npy", "limit"
_VERSION = b"1"
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40}


class Decoded:
    """A picture in memory."""

    def __init__(self, pixels: Tensor) -> None:
        self._pixels = pixels
        self.height, self.width = pixels.shape[1:]

    def pixels(self, shrink: float = 1) -> tuple[Tensor, int]:
        """3×height×width uint8, and 1: it is as large as it is."""
        return self._pixels, 1


class DecodedCache:
    """The images that found room, by row; opened in each process when it first asks for one."""

    def __init__(self, folder: Path, side: int) -> None:
        self.folder, self.side = folder, side
        # N×3 int64: where it begins, height, width; a height of 0 stands for an image that is not here.
        self.index: NDArray[np.int64] = np.load(folder / _INDEX)
        self._mapped: NDArray[np.uint8] | None = None

    def __len__(self) -> int:
        return int((self.index[:, 1] > 0).sum())

    def picture(self, row: int) -> Decoded | None:
        start, height, width = self.index[row].tolist()
        if not height:
            return None
        if self._mapped is None:
            # "c": torch wants memory that it may write to, and writes to none of it
            self._mapped = np.memmap(self.folder / _PIXELS, dtype=np.uint8, mode="c")
        pixels = np.asarray(self._mapped[start : start + 3 * height * width]).reshape(height, width, 3)
        return Decoded(torch.from_numpy(pixels).permute(2, 0, 1))

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_mapped": None}


def cache_key(stamp: bytes, side: int) -> str:
    """The name of the cache of these files at this size."""
    return hashlib.sha256(b"\0".join([_VERSION, str(side).encode(), stamp])).hexdigest()[:20]


def parse_size(text: str) -> int:
    """Bytes in ``20GB``, ``1.5 TB``, ``512MiB``.

    Raises:
        ValueError: it is no size.
    """
    found = re.fullmatch(r"\s*([\d.]+)\s*([KMGT]?I?)B?\s*", text.upper())
    with contextlib.suppress(ValueError, KeyError):
        if found and (size := int(float(found[1]) * _UNITS[found[2]])) > 0:
            return size
    raise ValueError(f"data.cache is a size such as 20GB, not {text!r}")


def open_cache(
    place: Path, side: int, count: int, limit: int, images: Callable[[], Iterable[tuple[int, Tensor]]]
) -> DecodedCache:
    """The cache at ``place``, made from ``images`` where there is none, or one that stopped at a lower limit.

    Made under another name and renamed, by one process at a time: there is a whole one or none.

    Args:
        place: a folder of its own.
        side: what the images were shrunk to.
        count: number of rows.
        limit: bytes of pixels; the images after it is reached are left to be decoded each time.
        images: gives row and 3×h×w uint8 of each image, in the order in which they are taken.

    Raises:
        UserError: the disk is full, or the folder cannot be written.
    """
    try:
        if not _serves(place, limit):
            place.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(place.with_name(place.name + ".lock")):
                if not _serves(place, limit):
                    _make(place, count, limit, images())
        return DecodedCache(place, side)
    except OSError as error:
        if error.errno in FULL:
            raise UserError(
                f"the disk is full: the cache of decoded images does not fit in {place.parent}; give a smaller "
                "--data.cache or another --data.cache_dir"
            ) from error
        raise UserError(f"no cache of images can be made in {place.parent}: {error.strerror or error}") from error


def _serves(place: Path, limit: int) -> bool:
    """Whether there is a cache that holds all images, or as many as ``limit`` bytes have room for."""
    with contextlib.suppress(FileNotFoundError):  # none, or another process just puts a larger one in its place
        return float((place / _LIMIT).read_text()) >= limit
    return False


def _make(place: Path, count: int, limit: int, images: Iterable[tuple[int, Tensor]]) -> None:
    part = place.with_name(place.name + ".part")
    shutil.rmtree(part, ignore_errors=True)  # of a process that was killed
    try:
        part.mkdir()
        whole = _write(part, count, limit, images)
        (part / _LIMIT).write_text("inf" if whole else str(limit))
        # A smaller one goes; who has it open keeps it, and what else it holds is at the same places in the larger one.
        old = place.with_name(place.name + ".old")
        shutil.rmtree(old, ignore_errors=True)
        with contextlib.suppress(FileNotFoundError):
            os.replace(place, old)
        os.replace(part, place)
        shutil.rmtree(old, ignore_errors=True)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def _write(part: Path, count: int, limit: int, images: Iterable[tuple[int, Tensor]]) -> bool:
    """Writes pixels and index; whether all found room."""
    index = np.zeros((count, 3), dtype=np.int64)
    start, whole = 0, True
    # Written, not mapped: a full disk is then an error and not a signal.
    with (part / _PIXELS).open("wb") as file:
        for row, pixels in images:
            if start + pixels.numel() > limit:
                whole = False
                break
            index[row] = start, *pixels.shape[1:]
            file.write(pixels.permute(1, 2, 0).contiguous().numpy().data)
            start += pixels.numel()
    np.save(part / _INDEX, index)
    return whole
