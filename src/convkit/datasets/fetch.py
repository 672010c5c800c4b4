"""What a worker process does: read, decode and crop the images of one batch. It imports nothing of Lightning."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, get_worker_info

from convkit.datasets.crops import Pixels, View, shrunk
from convkit.datasets.decode import Unreadable, read_picture
from convkit.datasets.decoded_cache import Decoded, DecodedCache
from convkit.datasets.draws import uniform
from convkit.datasets.files import Files
from convkit.errors import UserError

T = TypeVar("T")


class Request(NamedTuple):
    """One batch: the epoch, and the rows of its images in the list of files."""

    epoch: int
    rows: NDArray[np.int64]


class Fetched(NamedTuple):
    """What could be read of one batch.

    ``images`` N×(view's shape) uint8, the ``rows`` of the N and their ``places`` among those requested; row and reason
    of those that ``failed``. Nothing else is a tensor: to hand one over takes a file in shared memory.
    """

    pixels: Tensor | NDArray[np.uint8]
    rows: NDArray[np.int64]
    places: NDArray[np.int64]
    failed: list[tuple[int, str]]

    @property
    def images(self) -> Tensor:
        return torch.as_tensor(self.pixels)


class Shrunk(NamedTuple):
    """Images of different sizes: their bytes one after the other, ``rows`` N, ``sizes`` N×2 (height, width)."""

    pixels: Tensor | NDArray[np.uint8]
    rows: NDArray[np.int64]
    sizes: list[tuple[int, int]]
    failed: list[tuple[int, str]]

    def images(self) -> Iterator[tuple[int, Tensor]]:
        """Row and 3×h×w uint8 of each."""
        parts = torch.split(torch.as_tensor(self.pixels), [3 * height * width for height, width in self.sizes])
        for row, (height, width), part in zip(self.rows.tolist(), self.sizes, parts, strict=True):
            yield row, part.view(height, width, 3).permute(2, 0, 1)


class ImageFiles(Dataset[Fetched]):
    """Answers a :class:`Request`; what comes of an image depends on seed, epoch and the image's row alone."""

    def __init__(self, files: Files, view: View, seed: int, cache: DecodedCache | None = None) -> None:
        self.files, self.view, self.seed, self.cache = files, view, seed, cache

    def __getitem__(self, request: Request) -> Fetched:
        draws = uniform(self.seed, request.epoch, request.rows, self.view.draws)
        images = _shared(torch.empty((len(request.rows), *self.view.shape), dtype=torch.uint8))
        places: list[int] = []
        failed: list[tuple[int, str]] = []
        for place, row in enumerate(request.rows.tolist()):
            try:
                self.view(self._picture(row), draws[place], images[len(places)])
            except Unreadable as error:
                failed.append((row, str(error)))
            else:
                places.append(place)
        chosen = np.array(places, dtype=np.int64)
        return Fetched(_handed_over(images[: len(places)]), request.rows[chosen], chosen, failed)

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
        sizes = [(image.shape[1], image.shape[2]) for image in images.values()]
        flat = _shared(torch.empty(sum(image.numel() for image in images.values()), dtype=torch.uint8))
        for image, place in zip(images.values(), torch.split(flat, [3 * h * w for h, w in sizes]), strict=True):
            place.view(*image.shape[1:], 3).copy_(image.permute(1, 2, 0))
        return Shrunk(_handed_over(flat), np.array(list(images), dtype=np.int64), sizes, failed)


def _shared(memory: Tensor) -> Tensor:
    """In a worker, memory that the fit reads where it is, as long as there is some: a container may have 64 MB of it.

    What torch would share by itself it copies there once more, and where there is none it waits for ever.
    """
    if get_worker_info() is not None:
        with contextlib.suppress(RuntimeError):
            memory.share_memory_()  # type: ignore[no-untyped-call]
    return memory


def _handed_over(memory: Tensor) -> Tensor | NDArray[np.uint8]:
    """As an array it goes through a pipe."""
    is_there = get_worker_info() is None or memory.is_shared()  # type: ignore[no-untyped-call]
    return memory if is_there else memory.numpy()


class Requests(Sampler[Request]):
    """The batches to fetch, made when they are wanted; set ``pending`` before every pass."""

    def __init__(self, pending: Callable[[], Iterator[Request]] = lambda: iter(())) -> None:
        self.pending = pending

    def __iter__(self) -> Iterator[Request]:
        return self.pending()


def processes(workers: int | None) -> int:
    """How many decode where ``workers`` are wanted; without a wish one a core that this process may use, 8 at most."""
    if workers is None:
        return min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    if workers < 0:
        raise ValueError(f"data.workers is a number of processes and cannot be {workers}")
    return workers


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


def answers(loader: DataLoader[T]) -> Generator[T]:
    """What the workers send.

    Raises:
        UserError: one of them was killed.
    """
    told = signal.getsignal(signal.SIGCHLD) if hasattr(signal, "SIGCHLD") else None
    try:
        batches = iter(loader)
        _raise_where_it_is_waited_for(told)
        yield from batches
    except (RuntimeError, EOFError, ConnectionError) as error:
        if isinstance(error, RuntimeError) and not str(error).startswith("DataLoader worker"):
            raise
        lines = str(error).splitlines() or ["it does not answer"]
        raise UserError(
            "a process that decodes images ended, as it does when memory is short; give fewer --data.workers "
            f"({lines[0].rstrip('. ')})"
        ) from error


def _raise_where_it_is_waited_for(told: Any) -> None:
    """Torch's handler would raise a worker's end wherever the fit is by then, in a backward pass say.

    Whoever waits for that worker's images learns of it all the same, and can say what it means.
    """
    if told is None or threading.current_thread() is not threading.main_thread():
        return
    of_torch = getattr(told, "__module__", "").startswith("torch.")
    signal.signal(signal.SIGCHLD, signal.SIG_DFL if of_torch else told)


def _as_it_is(fetched: T) -> T:
    return fetched


def _leave_signals_to_the_fit(worker: int) -> None:
    # Ctrl-C, and a SIGTERM to all, reach a group of processes; the step at hand still needs its images.
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)
