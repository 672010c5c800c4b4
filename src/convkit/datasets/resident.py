"""Images in memory: one uint8 tensor a split, batches by index, augmented and normalised in one go."""

from abc import abstractmethod
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from convkit.datasets.augment import Augment
from convkit.datasets.batches import Batches, Split, resident
from convkit.datasets.divided import DividedData, spread
from convkit.datasets.order import Order
from convkit.datasets.statistics import Statistics, measure


class ResidentData(DividedData):
    """Base of data sets whose images are in memory; a subclass gives ``divide``.

    After ``setup``, ``splits`` has the images and labels of ``"train"``, ``"val"`` and ``"test"``, and ``indices``
    which images of the source they are.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.splits: dict[str, Split] = {}
        self.indices: dict[str, Tensor] = {}

    @abstractmethod
    def divide(self) -> tuple[dict[str, Split], dict[str, Tensor]]:
        """``splits`` and ``indices``."""

    def setup(self, stage: str | None = None) -> None:
        if self.splits:
            return
        self.splits, self.indices = self.divide()
        for name in ("mean", "std"):
            if not hasattr(self, name):
                setattr(self, name, getattr(self.statistics, name))

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

    def loader(self, split: str, *, train: bool = False, few: int | None = None) -> Batches:
        chosen = self.splits[split]
        if few is not None:
            chosen = chosen.take(torch.from_numpy(spread(len(chosen.images), few)))
        order = self.order(split, len(chosen.images), shuffle=train)
        held = resident(chosen, self.device)
        return Batches(held, order, self.mean, self.std, self.augment if train else Augment(), self.device)

    def pick(self, split: str, positions: Tensor) -> Tensor:
        order = Order(len(positions), len(positions), seed=0, shuffle=False)
        (batch,) = Batches(self.splits[split].take(positions), order, self.mean, self.std, Augment())
        return batch[0]
