"""What a worker process does: read, decode and crop the images of one batch. It imports nothing of Lightning."""

import os
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from convkit.datasets.crops import Pixels, View, shrunk
from convkit.datasets.decode import Unreadable, read_picture
from convkit.datasets.decoded_cache import Decoded, DecodedCache
from convkit.datasets.draws import uniform
from convkit.datasets.files import Files

T = TypeVar("T")


class Request(NamedTuple):
    """One batch: the epoch, and the rows of its images in the list of files."""

    epoch: int
    rows: NDArray[np.int64]


class Fetched(NamedTuple):
    """What could be read of one batch.

    ``images`` N×(view's shape) uint8, the ``rows`` of the N and their ``places`` among those requested, int64; row and
    reason of those that ``failed``.
    """

    images: Tensor
    rows: Tensor
    places: Tensor
    failed: list[tuple[int, str]]


class Shrunk(NamedTuple):
    """Images of different sizes: their bytes one after the other, ``rows`` N, ``sizes`` N×2 (height, width)."""

    pixels: Tensor
    rows: Tensor
    sizes: Tensor
    failed: list[tuple[int, str]]

    def images(self) -> Iterator[tuple[int, Tensor]]:
        """Row and 3×h×w uint8 of each."""
        parts = torch.split(self.pixels, [3 * height * width for height, width in self.sizes.tolist()])
        for row, (height, width), part in zip(self.rows.tolist(), self.sizes.tolist(), parts, strict=True):
            yield row, part.view(height, width, 3).permute(2, 0, 1)


class ImageFiles(Dataset[Fetched]):
    """Answers a :class:`Request`; what comes of an image depends on seed, epoch and the image's row alone."""

    def __init__(self, files: Files, view: View, seed: int, cache: DecodedCache | None = None) -> None:
        self.files, self.view, self.seed, self.cache = files, view, seed, cache

    def __getitem__(self, request: Request) -> Fetched:
        draws = uniform(self.seed, request.epoch, request.rows, self.view.draws)
        images = torch.empty((len(request.rows), *self.view.shape), dtype=torch.uint8)
        places: list[int] = []
        failed: list[tuple[int, str]] = []
        for place, row in enumerate(request.rows.tolist()):
            try:
                self.view(self._picture(row), draws[place], images[len(places)])
            except Unreadable as error:
                failed.append((row, str(error)))
            else:
                places.append(place)
        chosen = torch.tensor(places, dtype=torch.int64)
        return Fetched(images[: len(places)], torch.from_numpy(request.rows)[chosen], chosen, failed)

    def _picture(self, row: int) -> Pixels:
        if self.cache is None:
            return read_picture(self.files.path(row))
        # One that found no room is shrunk as those in the cache are, so its size does not change the images.
        return self.cache.picture(row) or Decoded(shrunk(read_picture(self.files.path(row)), self.cache.side))


class ShrunkFiles(Dataset[Shrunk]):
    """The images of a request as they go into the cache."""

    def __init__(self, files: Files, side: int) -> None:
        self.files, self.side = files, side

    def __getitem__(self, request: Request) -> Shrunk:
        images: dict[int, Tensor] = {}
        failed: list[tuple[int, str]] = []
        for row in request.rows.tolist():
            try:
                images[row] = shrunk(read_picture(self.files.path(row)), self.side)
            except Unreadable as error:
                failed.append((row, str(error)))
        pixels = [image.permute(1, 2, 0).reshape(-1) for image in images.values()]
        sizes = torch.tensor([image.shape[1:] for image in images.values()]).view(-1, 2)
        flat = torch.cat(pixels) if pixels else torch.empty(0, dtype=torch.uint8)
        return Shrunk(flat, torch.tensor(list(images), dtype=torch.int64), sizes.to(torch.int64), failed)


class Requests(Sampler[Request]):
    """The batches to fetch, made when they are wanted; set ``pending`` before every pass."""

    def __init__(self, pending: Callable[[], Iterator[Request]] = lambda: iter(())) -> None:
        self.pending = pending

    def __iter__(self) -> Iterator[Request]:
        return self.pending()


def in_chunks(rows: NDArray[np.int64], size: int = 64) -> Requests:
    """All of the rows in order, once."""
    return Requests(lambda: (Request(0, rows[start : start + size]) for start in range(0, len(rows), size)))


def worker_loader(images: Dataset[T], requests: Requests, workers: int, *, pin: bool = False) -> DataLoader[T]:
    """Batches in the requested order, from ``workers`` processes that stay, or from this one where there are none."""
    return DataLoader(
        images,
        batch_size=None,
        sampler=requests,
        num_workers=workers,
        collate_fn=_as_it_is,
        persistent_workers=workers > 0,
        pin_memory=pin,
        worker_init_fn=_leave_signals_to_the_fit,
        generator=torch.Generator(),  # it draws a seed for workers, which must not move the fit's own
    )


def _as_it_is(fetched: T) -> T:
    return fetched


def _leave_signals_to_the_fit(worker: int) -> None:
    # Ctrl-C, and a SIGTERM to all, reach a group of processes; the step at hand still needs its images.
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)
