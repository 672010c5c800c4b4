"""Batches of images that lie in memory: gathered by index, augmented and normalised in one go, on the device."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from convkit.datasets.augment import Augment
from convkit.datasets.order import Order

Batch = tuple[Tensor, Tensor]
RESIDENT_SHARE = 0.5  # of a device's free memory that a split may take: the network needs the rest


class Split(NamedTuple):
    """Images with their labels: N×C×H×W uint8, and N int64 class indices."""

    images: Tensor
    targets: Tensor

    def take(self, indices: Tensor) -> "Split":
        return Split(self.images.index_select(0, indices), self.targets.index_select(0, indices))


class Batches:
    """A loader over tensors: yields ``(images, targets)``, normalised float images on ``device`` (the tensors' own).

    ``positions`` says which images of the split those of the latest batch are.

    Its state is the epoch and the place in it, so a fit resumed in mid-epoch goes on with the very next batch, and
    one resumed after an epoch that was cut short (``limit_train_batches``) begins the next at its beginning.
    """

    def __init__(
        self,
        split: Split,
        order: Order,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        augment: Augment,
        device: torch.device | None = None,
    ) -> None:
        self.split, self.augment = split, augment
        self.device = device or split.images.device
        self.sampler = order  # the attribute whose set_epoch Lightning calls
        self.batch_sampler = None  # Lightning asks for it where there is a sampler
        # (x / 255 - mean) / std, as one subtraction and one multiplication of the raw bytes
        self._shift = torch.tensor(mean, device=self.device).mul(255)[:, None, None]
        self._scale = torch.tensor(std, device=self.device).mul(255).reciprocal()[:, None, None]
        # Seeded for every batch; to make one for every batch would take twenty times as long.
        self._random = np.random.RandomState(0)
        self._resume_at = (0, 0)  # an epoch, and the batch to begin it with
        self._next = 0
        self.positions = torch.empty(0, dtype=torch.int64)

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[Batch]:
        # A generator runs from its first next() on, when Lightning has set the epoch.
        epoch, start = self._resume_at
        self._resume_at = (0, 0)
        indices = torch.from_numpy(self.sampler.indices()).to(self.split.images.device)
        for batch in range(start if epoch == self.sampler.epoch else 0, len(self)):
            self._next = batch + 1
            yield self._batch(indices, batch)

    def _batch(self, indices: Tensor, batch: int) -> Batch:
        order = self.sampler
        start, stop = order.bounds(batch)
        self.positions = indices[start + order.rank : stop : order.ranks]
        images, targets = self._gather(self.positions)
        self._random.seed([order.seed, order.epoch, batch])
        drawn = self.augment.draw(self._random, stop - start)
        draws = {name: draw[order.rank :: order.ranks] for name, draw in drawn.items()}
        images = self.augment.apply(images, draws)
        images = images.to(torch.float32, copy=True).sub_(self._shift).mul_(self._scale)
        return self.augment.cut(images, draws), targets

    def _gather(self, chosen: Tensor) -> Split:
        if self.split.images.device == self.device:
            return self.split.take(chosen)
        # From the host's memory through a pinned batch, whose copy to the device nobody waits for.
        pinned = Split(*(_empty(part, len(chosen), self.device) for part in self.split))
        for part, out in zip(self.split, pinned, strict=True):
            torch.index_select(part, 0, chosen, out=out)
        return Split(*(part.to(self.device, non_blocking=True) for part in pinned))

    def state_dict(self) -> dict[str, int]:
        return {"epoch": self.sampler.epoch, "next_batch": self._next % len(self)}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self._next = state["next_batch"] % len(self)
        self._resume_at = (state["epoch"], self._next)


def _empty(like: Tensor, count: int, device: torch.device) -> Tensor:
    return torch.empty((count, *like.shape[1:]), dtype=like.dtype, pin_memory=device.type == "cuda")


def resident(split: Split, device: torch.device) -> Split:
    """The split on the device, where it takes no more than its share of the memory that is free; else as it is."""
    if device.type == "cuda" and split.images.nbytes > RESIDENT_SHARE * torch.cuda.mem_get_info(device)[0]:
        return split
    return Split(*(part.to(device) for part in split))
