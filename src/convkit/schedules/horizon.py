"""How many optimiser steps an epoch and a fit have, where a rate depends on them."""

import math
from dataclasses import dataclass

from lightning.pytorch import Trainer

from convkit.errors import UserError


@dataclass(frozen=True)
class Horizon:
    """Lengths in optimiser steps.

    Args:
        epoch: steps of an epoch; infinite where the data have no end.
        end: steps of the fit; infinite where the trainer has no limit.
        warmup: of these, the first, in which the rate rises.
    """

    epoch: float
    end: float
    warmup: int = 0

    @classmethod
    def of(cls, trainer: Trainer) -> "Horizon":
        loop = trainer.fit_loop
        loop.setup_data()  # the loader knows how many batches there are
        epoch = trainer.num_training_batches / trainer.accumulate_grad_batches
        end = trainer.estimated_stepping_batches
        if trainer.ckpt_path:
            # A checkpoint's place in the data is put into the loader when the loop sets it up, which only now knows of
            # none: kept, this loader would begin a resumed fit's epoch at its first batch. It is made anew.
            loop._combined_loader = loop._data_fetcher = None
        return cls(math.ceil(epoch) if epoch < math.inf else epoch, end if end > 0 else math.inf)

    def steps(self, epochs: float) -> int:
        """Whole steps in a number of epochs.

        Raises:
            UserError: the data have no end.
        """
        if epochs and math.isinf(self.epoch):
            raise UserError("the schedule counts epochs, and the data do not say how many batches one has")
        return round(epochs * self.epoch) if epochs else 0

    def done(self, step: int) -> float:
        """The share of the way from the warm-up to the end, from 0 to 1.

        Raises:
            UserError: there is no end.
        """
        if math.isinf(self.end):
            raise UserError("the schedule must know when training ends; give --trainer.max_epochs N")
        return min(max(step - self.warmup, 0) / (self.end - self.warmup), 1.0)
