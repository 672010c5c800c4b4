"""Mirrored in every other epoch: whoever saw an image sees its mirror image next, not the same again."""

from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from convkit import UserError
from convkit.datasets.order import Order


class AlternatingFlip(Callback):
    """A coin for each image says in which epochs it is mirrored: the even ones or the odd ones (Jordan 2024, §3.6).

    Two epochs show each image both ways; with a coin for each epoch, half of them would show the same again.
    """

    def __init__(self) -> None:
        self._epoch = -1
        self._indices = self._coins = np.empty(0, dtype=np.int64)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._order(trainer)
        if getattr(getattr(trainer.datamodule, "augment", None), "flip", False):  # type: ignore[attr-defined]
            raise UserError(
                "alternating flip and data.augment.flip together are a coin for each epoch; "
                "leave out data.augment.flip, or give --model.schedule.alternating_flip false"
            )

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        order, epoch = self._order(trainer), trainer.current_epoch
        if self._epoch != epoch:
            self._epoch, self._indices = epoch, order.indices()
            self._coins = np.random.RandomState([order.seed, order.count]).randint(0, 2, size=order.count)
        first, last = order.bounds(batch_idx)
        images = batch[0]
        flipped = (self._coins[self._indices[first + order.rank : last : order.ranks]] + epoch) % 2 == 1
        chosen = torch.from_numpy(flipped.nonzero()[0]).to(images.device)
        images.index_copy_(0, chosen, images.index_select(0, chosen).flip(-1))

    @staticmethod
    def _order(trainer: Trainer) -> Order:
        order = getattr(trainer.train_dataloader, "sampler", None)
        if not isinstance(order, Order):
            raise UserError(
                "alternating flip needs a data set that says which image is which; "
                "give --model.schedule.alternating_flip false"
            )
        return order
