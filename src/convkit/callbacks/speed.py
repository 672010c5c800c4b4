"""How long an epoch took, and how many images a second were trained on."""

import time
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer


class Speed(Callback):
    """Logs, once an epoch, ``time/epoch`` and ``time/images_per_second`` (of training, without validation and what
    comes after).

    The seconds of an epoch are those from this row of the epoch before to its own: with its validation, and with what
    came after that row, pictures, ``metrics.csv`` and ``last.ckpt`` of the epoch before. So they add up to the fit's
    time. Those of a fit's first epoch begin with its first batch.

    Nothing waits for the device: the clock is read when the loss of the last step has been. Of an epoch that a resumed
    fit has only a part of, the images a second are logged alone.
    """

    def __init__(self) -> None:
        self._ended: float | None = None  # the epoch before, as far as this callback
        self._begun = self._validating = 0.0  # of the epoch; seconds in its validations
        self._validation = 0.0  # when the last one began
        self._trained: float | None = None  # seconds of training, once a validation follows it
        self._images = 0
        self._whole = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._ended = None

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._begun, self._validating, self._images, self._whole = time.monotonic(), 0.0, 0, False

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self._images += len(batch[1])
        self._whole |= batch_idx == 0
        self._trained = None

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._validation = time.monotonic()
        self._trained = self._validation - self._begun - self._validating

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._validating += time.monotonic() - self._validation

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        now, images = time.monotonic(), float(self._images)
        if trainer.world_size > 1:
            counted = torch.tensor(images, device=pl_module.device)
            images = float(trainer.strategy.reduce(counted, reduce_op="sum"))
        trained = now - self._begun - self._validating if self._trained is None else self._trained
        values = {"time/images_per_second": images / max(trained, 1e-9)}
        if self._whole:
            values["time/epoch"] = now - (self._begun if self._ended is None else self._ended)
        self._ended = now
        if trainer.is_global_zero:
            for logger in trainer.loggers:
                logger.log_metrics({**values, "epoch": trainer.current_epoch}, trainer.global_step)
