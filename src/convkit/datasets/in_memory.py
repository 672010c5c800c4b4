"""Data sets that fit into memory: one uint8 tensor a split, batches by index, augmented and normalised in one go."""

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from convkit.datasets.augment import Augment
from convkit.datasets.base import ImageData
from convkit.datasets.order import Order
from convkit.errors import UserError

Batch = tuple[Tensor, Tensor]


class Split(NamedTuple):
    """Images with their labels: N×C×H×W uint8, and N int64 class indices."""

    images: Tensor
    targets: Tensor

    def take(self, indices: Tensor) -> "Split":
        return Split(self.images[indices], self.targets[indices])


class InMemoryData(ImageData):
    """Base of the in-memory data sets; a subclass sets the five attributes of :class:`ImageData` and ``load``.

    Args:
        batch_size: images of one optimiser step, over all ranks; so a result does not depend on their number.
        val_fraction: share of the training images, by class, that is held out for validation. 0 validates on the
            test images instead, as the CIFAR papers do: then nothing unseen is left to test on.
        seed: of the validation split, the order of the images and the augmentation.
        augment: what may happen to a training image.
    """

    def __init__(
        self, batch_size: int = 128, val_fraction: float = 0.1, seed: int = 0, augment: Augment | None = None
    ) -> None:
        super().__init__()
        if batch_size < 1:
            raise ValueError(f"data.batch_size is a number of images and cannot be {batch_size}")
        if not 0 <= val_fraction < 1:
            raise ValueError(f"data.val_fraction is a share from 0 up to 1, not {val_fraction}")
        self.batch_size, self.val_fraction, self.seed = batch_size, val_fraction, seed
        self.augment = augment or Augment()
        self.splits: dict[str, Split] = {}
        self._train_order: Order | None = None

    @abstractmethod
    def load(self) -> tuple[Split, Split]:
        """The training and the test images, as published."""

    def setup(self, stage: str | None = None) -> None:
        if self.splits:
            return
        train, test = self.load()
        for name, split in (("training", train), ("test", test)):
            if not len(split.images):
                raise UserError(f"{type(self).__name__} has no {name} images")
            if len(split.images) != len(split.targets):
                raise UserError(
                    f"{type(self).__name__} has {len(split.images)} {name} images, but {len(split.targets)} labels"
                )
        val = test
        if self.val_fraction:
            held_out = stratified(train.targets.numpy(), self.val_fraction, self.seed)
            val, train = train.take(held_out.nonzero()[:, 0]), train.take((~held_out).nonzero()[:, 0])
            for name, split in (("training", train), ("validation", val)):
                if not len(split.images):
                    raise UserError(f"data.val_fraction {self.val_fraction} leaves no {name} images")
        self.splits = {"train": train, "val": val, "test": test}
        if not hasattr(self, "mean") or not hasattr(self, "std"):
            mean, std = measure(train.images)
            self.mean, self.std = getattr(self, "mean", mean), getattr(self, "std", std)

    def loader(self, split: str, *, train: bool = False) -> "Batches":
        """The batches of ``"train"``, ``"val"`` or ``"test"``: this rank's share, on the trainer's device."""
        trainer = self.trainer
        rank, ranks = (trainer.global_rank, trainer.world_size) if trainer else (0, 1)
        device = trainer.strategy.root_device if trainer else torch.device("cpu")
        images, targets = self.splits[split]
        if len(images) < ranks:
            raise UserError(f"{len(images)} {split} images cannot be divided among {ranks} ranks")
        if self.batch_size < ranks:
            raise UserError(f"data.batch_size {self.batch_size} cannot be divided among {ranks} ranks")
        order = Order(len(images), self.batch_size, seed=self.seed, shuffle=train, rank=rank, ranks=ranks)
        return Batches(
            Split(images.to(device), targets.to(device)),
            order,
            self.mean,
            self.std,
            self.augment if train else Augment(),
        )

    def train_dataloader(self) -> "Batches":
        batches = self.loader("train", train=True)
        self._train_order = batches.sampler
        return batches

    def val_dataloader(self) -> "Batches":
        return self.loader("val")

    def test_dataloader(self) -> "Batches":
        return self.loader("test")

    def predict_dataloader(self) -> "Batches":
        return self.loader("test")

    def rank_share(self, batch_index: int) -> float:
        return self._train_order.share(batch_index) if self._train_order else 1.0


class Batches:
    """A loader over tensors: yields ``(images, targets)``, normalised float images on the tensors' device.

    Its state is the epoch and the place in it, so a fit resumed in mid-epoch goes on with the very next batch, and
    one resumed after an epoch that was cut short (``limit_train_batches``) begins the next at its beginning.
    """

    def __init__(
        self, split: Split, order: Order, mean: tuple[float, ...], std: tuple[float, ...], augment: Augment
    ) -> None:
        self.split, self.augment = split, augment
        self.sampler = order  # the attribute whose set_epoch Lightning calls
        self.batch_sampler = None  # Lightning asks for it where there is a sampler
        device = split.images.device
        # (x / 255 - mean) / std, as one subtraction and one multiplication of the raw bytes
        self._shift = torch.tensor(mean, device=device).mul(255)[:, None, None]
        self._scale = torch.tensor(std, device=device).mul(255).reciprocal()[:, None, None]
        self._resume_at = (0, 0)  # an epoch, and the batch to begin it with
        self._next = 0

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[Batch]:
        # A generator runs from its first next() on, when Lightning has set the epoch.
        epoch, start = self._resume_at
        self._resume_at = (0, 0)
        indices = self.sampler.indices()
        for batch in range(start if epoch == self.sampler.epoch else 0, len(self)):
            self._next = batch + 1
            yield self._batch(indices, batch)

    def _batch(self, indices: np.ndarray[Any, np.dtype[np.int64]], batch: int) -> Batch:
        order = self.sampler
        start, stop = order.bounds(batch)
        chosen = torch.from_numpy(indices[start + order.rank : stop : order.ranks]).to(self.split.images.device)
        images, targets = self.split.take(chosen)
        random = np.random.RandomState([order.seed, order.epoch, batch])
        draws = {
            name: draw[order.rank :: order.ranks] for name, draw in self.augment.draw(random, stop - start).items()
        }
        images = self.augment.apply(images, draws)
        return images.to(torch.float32).sub_(self._shift).mul_(self._scale), targets

    def state_dict(self) -> dict[str, int]:
        return {"epoch": self.sampler.epoch, "next_batch": self._next % len(self)}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self._next = state["next_batch"] % len(self)
        self._resume_at = (state["epoch"], self._next)


def stratified(targets: np.ndarray[Any, np.dtype[np.int64]], fraction: float, seed: int) -> Tensor:
    """Which of N images are held out, as N booleans: ``fraction`` of each class to the nearest image, by ``seed``."""
    random = np.random.RandomState(seed)
    held_out = np.zeros(len(targets), dtype=bool)
    for target in np.unique(targets):
        members = random.permutation(np.flatnonzero(targets == target))
        held_out[members[: round(fraction * len(members))]] = True
    return torch.from_numpy(held_out)


def measure(images: Tensor, chunk: int = 4096) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel of N×C×H×W uint8 images, of values from 0 to 1."""
    total = torch.zeros(images.shape[1], dtype=torch.float64)
    squares = torch.zeros_like(total)
    for part in torch.split(images, chunk):
        values = part.to(torch.float64).div_(255)
        total += values.sum((0, 2, 3))
        squares += values.square_().sum((0, 2, 3))
    pixels = images.numel() / images.shape[1]
    mean = total / pixels
    std = (squares / pixels - mean**2).clamp_min(1e-12).sqrt()
    return tuple(mean.tolist()), tuple(std.tolist())
