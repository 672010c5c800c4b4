"""``state.json``: whether a fit runs, has finished, was stopped or has crashed, how far it came, and in what time."""

import time
import warnings
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from convkit.callbacks.interruption import Interrupted, StoppedAtOnce
from convkit.run_state import CRASHED, FINISHED, RUNNING, STOPPED, now, write_state


class StateFile(Callback):
    """Written when a fit starts, after every epoch, and when it ends, however that comes; never a reason to end one."""

    def __init__(self, run: Path | None) -> None:
        self.run = run
        self._started = now()
        self._clock = 0.0
        self._told = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage == "fit":
            self._write(trainer, RUNNING)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._clock = time.monotonic()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._write(trainer, RUNNING, 1)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._write(trainer, FINISHED)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        if trainer.state.fn != "fit":  # a test after it: the fit itself has ended well
            return
        stopped = isinstance(exception, (Interrupted, StoppedAtOnce, KeyboardInterrupt))
        words = " ".join(str(exception).split())
        why = words if stopped else f"{type(exception).__name__}: {words}"
        self._write(trainer, STOPPED if stopped else CRASHED, error=why[:500])

    def _write(self, trainer: Trainer, state: str, ended: int = 0, **more: Any) -> None:
        """``ended``: epochs that have, and that the trainer does not count yet."""
        if self.run is None:
            return
        seconds = round(time.monotonic() - self._clock, 3) if self._clock else 0.0
        reached = {"epoch": trainer.current_epoch + ended, "step": trainer.global_step, "seconds": seconds}
        try:
            write_state(self.run, {"state": state, "started": self._started, **reached, **more})
        except OSError as error:
            if not self._told:
                warnings.warn(f"{self.run / 'state.json'} cannot be written: {error}", stacklevel=2)
            self._told = True
