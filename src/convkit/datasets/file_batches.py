"""The loader of image files: batches from worker processes, normalised where the network is."""

import os
from collections.abc import Generator, Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from convkit.datasets.augment import Augment
from convkit.datasets.fetch import Fetched, ImageFiles, Request, Requests, Shrunk, answers, worker_loader
from convkit.datasets.files import Files
from convkit.datasets.order import Order
from convkit.errors import UserError

Batch = tuple[Tensor, Tensor]


class Finish(NamedTuple):
    """What happens to a batch once it is collated, on the device."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    augment: Augment
    device: torch.device


class FileBatches:
    """Yields ``(images, targets)``: N×3×H×W float, normalised (N×10×3×H×W of ten crops), and N class indices.

    Workers send bytes; a float would be four of them. They stay alive over the epochs. The state is the epoch and the
    place in it, as of ``in_memory.Batches``; ``positions`` are those of the latest batch in the split.

    Args:
        images: what the workers do.
        rows: of the split's images, in the list of files.
        order: of the batches, over the split's images.
        finish: what comes after collation.
        workers: processes; 0 reads in this one.
        skipped: gets path and reason of each image that cannot be read; None stops at the first.
    """

    def __init__(
        self,
        images: ImageFiles,
        rows: NDArray[np.int64],
        order: Order,
        finish: Finish,
        workers: int,
        skipped: dict[str, str] | None,
    ) -> None:
        self.images, self.rows, self.finish, self.workers, self.skipped = images, rows, finish, workers, skipped
        self.sampler = order  # the attribute whose set_epoch Lightning calls
        self.batch_sampler = None  # Lightning asks for it where there is a sampler
        self._requests = Requests()
        self._workers: DataLoader[Fetched] | None = None
        self._answers: Generator[Fetched] | None = None
        # (x / 255 - mean) / std, as one subtraction and one multiplication of the raw bytes
        self._shift = torch.tensor(finish.mean, device=finish.device).mul(255)[:, None, None]
        self._scale = torch.tensor(finish.std, device=finish.device).mul(255).reciprocal()[:, None, None]
        self._resume_at = (0, 0)  # an epoch, and the batch to begin it with
        self._next = 0
        self.positions = torch.empty(0, dtype=torch.int64)

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[Batch]:
        # A generator runs from its first next() on, when Lightning has set the epoch.
        order = self.sampler
        epoch, start = self._resume_at
        self._resume_at = (0, 0)
        batches = range(start if epoch == order.epoch else 0, len(self))
        indices = order.indices()
        rows = self.rows[indices]
        self._requests.pending = lambda: (
            Request(order.epoch, rows[first + order.rank : last : order.ranks])
            for first, last in map(order.bounds, batches)
        )
        if self._workers is None:
            pin = self.finish.device.type == "cuda"
            self._workers = worker_loader(self.images, self._requests, self.workers, pin=pin)
        try:
            self._answers = answers(self._workers)
            for batch, fetched in zip(batches, self._answers, strict=True):
                account(fetched, self.images.files, self.skipped)
                own = order.bounds(batch)[0] + order.rank + order.ranks * fetched.places
                self.positions = torch.from_numpy(indices[own])
                self._next = batch + 1
                yield self._finished(fetched, batch)
        except UserError:
            self.close()
            raise

    def close(self) -> None:
        """End the worker processes; the next pass starts new ones. What the garbage collector finds ends slowly."""
        if self._answers:
            self._answers.close()  # of a pass that was left in the middle, and holds them
        self._answers = self._workers = None

    def _finished(self, fetched: Fetched, batch: int) -> Batch:
        order, device, augment = self.sampler, self.finish.device, self.finish.augment
        first, last = order.bounds(batch)
        # Drawn for the whole batch, then divided among ranks and readable images, as in memory.
        random = np.random.RandomState([order.seed, order.epoch, batch])
        own = order.rank + order.ranks * fetched.places
        draws = {name: draw[own] for name, draw in augment.draw(random, last - first).items()}
        images = fetched.images.to(device, non_blocking=True)
        images = augment.cut(self._normalised(augment.apply(images, draws)), draws)
        targets = torch.from_numpy(self.images.files.targets[fetched.rows])
        return images, targets.to(device, non_blocking=True)

    def _normalised(self, images: Tensor) -> Tensor:
        if images.device.type != "cpu":
            return images.to(torch.float32).sub_(self._shift).mul_(self._scale)
        # A batch is 77 MB of new memory, whose pages took four fifths of the time. numpy asks for large ones. An image
        # at a time stays in the processor's cache.
        out = torch.from_numpy(np.empty(images.shape, np.float32))
        for image, place in zip(images, out, strict=True):
            place.copy_(image).sub_(self._shift).mul_(self._scale)
        return out

    def state_dict(self) -> dict[str, int]:
        return {"epoch": self.sampler.epoch, "next_batch": self._next % len(self)}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self._next = state["next_batch"] % len(self)
        self._resume_at = (state["epoch"], self._next)


def account(fetched: Fetched | Shrunk, files: Files, skipped: dict[str, str] | None) -> None:
    """Put path and reason of what could not be read into ``skipped``.

    Raises:
        UserError: an image cannot be read and ``skipped`` is None; or none of the batch's can.
    """
    for row, reason in fetched.failed:
        path = os.fsdecode(files.path(row))
        if skipped is None:
            raise UserError(
                f"{path} cannot be read: {reason}; remove or replace it, or leave out what cannot be read with "
                "--data.on_error skip"
            )
        skipped[path] = reason
    if fetched.failed and not len(fetched.rows):
        raise UserError(
            f"none of the {len(fetched.failed)} images of a batch can be read; the last is {path}: {reason}"
        )
