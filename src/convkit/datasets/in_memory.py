"""Data sets that fit into memory: one uint8 tensor a split, batches by index, augmented and normalised in one go."""

from abc import abstractmethod
from functools import cached_property

import torch
from torch import Tensor

from convkit.datasets.augment import Augment
from convkit.datasets.base import ImageData
from convkit.datasets.batches import Batches, Split, resident
from convkit.datasets.order import Order
from convkit.datasets.statistics import Statistics, measure
from convkit.datasets.subset import check_subset, stratified, subset
from convkit.errors import UserError

_MOVED = 1024  # images at once


class InMemoryData(ImageData):
    """Base of the in-memory data sets; a subclass sets the five attributes of :class:`ImageData` and ``load``.

    After ``setup``, ``splits`` has the images and labels of ``"train"``, ``"val"`` and ``"test"``, and ``indices``
    their places among the images that ``load`` gave: the training images for the first two, the test images for the
    third.

    Args:
        batch_size: images of one optimiser step, over all ranks; so a result does not depend on their number.
        val_fraction: share of the training images, by class, that is held out for validation. 0 validates on the
            test images instead, as the CIFAR papers do: then nothing unseen is left to test on.
        seed: of the validation split, the order of the images and the augmentation.
        augment: what may happen to a training image.
        fraction: share of each class's training images to train on; validation and test stay as they are.
        per_class: or how many of each class to train on.
    """

    def __init__(
        self,
        batch_size: int = 128,
        val_fraction: float = 0.1,
        seed: int = 0,
        augment: Augment | None = None,
        fraction: float = 1.0,
        per_class: int | None = None,
    ) -> None:
        super().__init__()
        if batch_size < 1:
            raise ValueError(f"data.batch_size is a number of images and cannot be {batch_size}")
        if not 0 <= val_fraction < 1:
            raise ValueError(f"data.val_fraction is a share from 0 up to 1, not {val_fraction}")
        if not 0 <= seed < 2**32:
            raise ValueError(f"data.seed is a whole number from 0 to 2**32 - 1, not {seed}")
        check_subset(fraction, per_class)
        self.batch_size, self.val_fraction, self.seed = batch_size, val_fraction, seed
        self.fraction, self.per_class = fraction, per_class
        self.augment = augment or Augment()
        self.splits: dict[str, Split] = {}
        self.indices: dict[str, Tensor] = {}
        self._train_order: Order | None = None

    @abstractmethod
    def load(self) -> tuple[Split, Split]:
        """The training and the test images, as published. ``setup`` rearranges the training images in place."""

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
        kept, held_out = self._choose(train)
        if train.images.untyped_storage().data_ptr() == test.images.untyped_storage().data_ptr():
            train = Split(train.images.clone(), train.targets.clone())  # the test images stay as they are
        val = train.take(held_out) if self.val_fraction else test
        self.splits = {"train": _compact(train, kept), "val": val, "test": test}
        every = torch.arange(len(test.images))
        self.indices = {"train": kept, "val": held_out if self.val_fraction else every, "test": every}
        for name in ("mean", "std"):
            if not hasattr(self, name):
                setattr(self, name, getattr(self.statistics, name))

    def _choose(self, train: Split) -> tuple[Tensor, Tensor]:
        """Places of the images to train on and of those held out, both ascending."""
        targets = train.targets.numpy()
        is_held_out = stratified(targets, self.val_fraction, self.seed)
        kept, held_out = (~is_held_out).nonzero()[:, 0], is_held_out.nonzero()[:, 0]
        for name, places in (("training", kept), ("validation", held_out)):
            if self.val_fraction and not len(places):
                raise UserError(f"data.val_fraction {self.val_fraction} leaves no {name} images")
        chosen = subset(
            targets[kept], self.class_names, fraction=self.fraction, per_class=self.per_class, seed=self.seed
        )
        return kept[chosen], held_out

    @cached_property
    def statistics(self) -> Statistics:
        """Mean, deviation and average of the images to train on."""
        return measure(self.splits["train"].images)

    @property
    def average_image(self) -> Tensor:
        """C×H×W float from 0 to 1: the mean of the images to train on."""
        return self.statistics.average_image

    def labels(self, split: str) -> Tensor:
        return self.splits[split].targets

    def loader(self, split: str, *, train: bool = False) -> Batches:
        """The batches of ``"train"``, ``"val"`` or ``"test"``: this rank's share, on the trainer's device."""
        trainer = self.trainer
        rank, ranks = (trainer.global_rank, trainer.world_size) if trainer else (0, 1)
        device = trainer.strategy.root_device if trainer else torch.device("cpu")
        count = len(self.splits[split].images)
        if count < ranks:
            raise UserError(f"{count} {split} images cannot be divided among {ranks} ranks")
        if self.batch_size < ranks:
            raise UserError(f"data.batch_size {self.batch_size} cannot be divided among {ranks} ranks")
        order = Order(count, self.batch_size, seed=self.seed, shuffle=train, rank=rank, ranks=ranks)
        held = resident(self.splits[split], device)
        return Batches(held, order, self.mean, self.std, self.augment if train else Augment(), device)

    def evaluation(self, split: str) -> Batches:
        return self.loader(split)

    def pick(self, split: str, positions: Tensor) -> Tensor:
        order = Order(len(positions), len(positions), seed=0, shuffle=False)
        (batch,) = Batches(self.splits[split].take(positions), order, self.mean, self.std, Augment())
        return batch[0]

    def train_dataloader(self) -> Batches:
        batches = self.loader("train", train=True)
        self._train_order = batches.sampler
        return batches

    def val_dataloader(self) -> Batches:
        return self.loader("val")

    def test_dataloader(self) -> Batches:
        return self.loader("test")

    def predict_dataloader(self) -> Batches:
        return self.loader("test")

    def rank_share(self, batch_index: int) -> float:
        return self._train_order.share(batch_index) if self._train_order else 1.0


def _compact(split: Split, kept: Tensor) -> Split:
    """The images at ``kept``, ascending places, moved to the front of the same memory, part by part."""
    if len(kept) == len(split.images):
        return split
    for part in split:
        start = 0
        for places in torch.split(kept, _MOVED):
            # What this overwrites lies before every place that is still to be read.
            part[start : start + len(places)] = part.index_select(0, places)
            start += len(places)
    return Split(split.images[: len(kept)], split.targets[: len(kept)])
