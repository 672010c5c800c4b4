"""Callbacks that time training steps and epochs, for ``fit.py`` and ``epochs.py``: made from their class paths."""

import time
from collections.abc import Callable
from typing import Any, ClassVar

from lightning.pytorch import Callback, Trainer


class Clock(Callback):
    """``times`` gets the seconds a step of each training, from the first after ``warm_up`` to the last."""

    times: ClassVar[list[float]] = []
    now: ClassVar[Callable[[], float]] = time.perf_counter

    def __init__(self, warm_up: int) -> None:
        self.warm_up = warm_up
        self._start = 0.0

    def on_train_batch_start(self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx == self.warm_up:
            self._start = Clock.now()

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx + 1 == trainer.num_training_batches:
            self.times.append((Clock.now() - self._start) / (batch_idx + 1 - self.warm_up))


class EpochClock(Callback):
    """``times`` gets the seconds of each epoch of a training, its validation and checkpoints included."""

    times: ClassVar[list[float]] = []
    now: ClassVar[Callable[[], float]] = time.perf_counter

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        self._start = EpochClock.now()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: Any) -> None:
        if trainer.current_epoch:
            self._note()

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        self._note()

    def _note(self) -> None:
        self.times.append(EpochClock.now() - self._start)
        self._start = EpochClock.now()
