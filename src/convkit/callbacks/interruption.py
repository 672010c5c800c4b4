"""Ctrl-C and SIGTERM end a fit between two steps, with a checkpoint to go on from."""

import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer


class Interrupted(Exception):  # noqa: N818 - no error
    """A signal ended the fit; ``checkpoint`` goes on from the step that it had reached."""

    def __init__(self, signum: int, checkpoint: Path, step: int) -> None:
        super().__init__(f"{signal.Signals(signum).name} at step {step}")
        self.signum, self.checkpoint, self.step = signum, checkpoint, step


class StoppedAtOnce(BaseException):
    """A second signal. No KeyboardInterrupt: Lightning would end the process with status 1."""

    def __init__(self, signum: int) -> None:
        super().__init__(f"{signal.Signals(signum).name}, twice: nothing more was saved")
        self.signum = signum


class Interruption(Callback):
    """Notes a signal, and acts on it when the step at hand is done. A second one stops at once, saving nothing.

    All ranks stop at the same step, whichever of them was told: a checkpoint needs every one of them.
    """

    def __init__(self, checkpoint: Path) -> None:
        self.checkpoint = checkpoint
        self._received = 0
        self._previous: dict[int, Any] = {}

    def on_sanity_check_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """From here on: Lightning has installed its own handlers by now."""
        if self._previous:
            return
        for signum in (signal.SIGINT, signal.SIGTERM):
            self._previous[signum] = signal.signal(signum, self._note)

    on_train_start = on_sanity_check_start  # a resumed fit has no sanity check

    def _note(self, signum: int, frame: FrameType | None) -> None:
        if self._received:
            raise StoppedAtOnce(signum)
        self._received = signum
        print("\nfinishing this step, then saving; once more stops at once", file=sys.stderr, flush=True)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        received = bool(self._received)
        if trainer.world_size > 1:
            received = trainer.strategy.reduce_boolean_decision(received, all=False)
        if received:
            trainer.save_checkpoint(self.checkpoint)
            raise Interrupted(self._received or signal.SIGTERM, self.checkpoint, trainer.global_step)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        for signum, handler in self._previous.items():
            signal.signal(signum, handler)
        self._previous = {}
