"""Images in batches, each divided among the ranks, and in splits: the options and loaders that all data sets share."""

from abc import abstractmethod
from collections.abc import Iterator
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convkit.datasets.augment import Augment
from convkit.datasets.base import ImageData, first
from convkit.datasets.batches import Batch
from convkit.datasets.order import Order
from convkit.datasets.subset import check_subset
from convkit.errors import UserError


class Loader(Protocol):
    """Batches in an order; ``positions`` are those of the last batch's images in the split."""

    sampler: Order
    positions: Tensor

    def __iter__(self) -> Iterator[Batch]: ...


class DividedData(ImageData):
    """Base of data sets with splits and batches; a subclass gives ``loader``.

    Args:
        batch_size: images of one optimiser step, over all ranks; so a result does not depend on their number.
        val_fraction: share of the training images, by class, that is held out for validation where the source has no
            validation images. 0 validates on the test images, as the CIFAR papers do: then nothing unseen is left to
            test on.
        seed: of the validation split, the order of the images and what is drawn for them.
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
        self._train_order: Order | None = None

    @abstractmethod
    def loader(self, split: str, *, train: bool = False, few: int | None = None) -> Loader:
        """The batches of ``"train"``, ``"val"`` or ``"test"``: this rank's share, on the trainer's device.

        Shuffled and augmented to ``train``; else as they are, in order. Of ``few`` images only, all over the split.
        """

    @property
    def device(self) -> torch.device:
        """The trainer's."""
        return self.trainer.strategy.root_device if self.trainer else torch.device("cpu")

    def order(self, split: str, count: int, *, shuffle: bool) -> Order:
        """This rank's share of the ``count`` images of a split.

        Raises:
            UserError: there are fewer images, or a batch has fewer, than ranks.
        """
        rank, ranks = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        if count < ranks:
            raise UserError(f"{count} {split} images cannot be divided among {ranks} ranks")
        if self.batch_size < ranks:
            raise UserError(f"data.batch_size {self.batch_size} cannot be divided among {ranks} ranks")
        return Order(count, self.batch_size, seed=self.seed, shuffle=shuffle, rank=rank, ranks=ranks)

    def evaluation(self, split: str) -> Loader:
        return self.loader(split)

    def sample(self, split: str, count: int) -> tuple[Tensor, Tensor]:
        # Files are in the order of their classes: the first would be of one class.
        return first(self.loader(split, few=count), count) if split != "train" else super().sample(split, count)

    def train_dataloader(self) -> Loader:
        batches = self.loader("train", train=True)
        self._train_order = batches.sampler
        return batches

    def val_dataloader(self) -> Loader:
        return self.loader("val")

    def test_dataloader(self) -> Loader:
        return self.loader("test")

    def predict_dataloader(self) -> Loader:
        return self.loader("test")

    def rank_share(self, batch_index: int) -> float:
        # As of the images that were asked for: what a rank had to leave out, the others do not know.
        return self._train_order.share(batch_index) if self._train_order else 1.0


def spread(count: int, few: int | None) -> NDArray[np.int64]:
    """The places of ``few`` of ``count`` images, evenly; of all of them where there are no more."""
    return np.arange(count) if few is None or few >= count else np.arange(few) * count // few
