"""Ctrl-C and SIGTERM end a fit between two steps, with a checkpoint to go on from."""

import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

AGREE_EVERY = 8  # steps between two questions to the other ranks: each waits for the device


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


class Interruption(Checkpoint):  # of these Lightning keeps the order, behind what a model's own callbacks do
    """Notes a signal, and acts on it when the step at hand is done. A second one stops at once, saving nothing.

    All ranks stop at the same step, whichever of them was told: a checkpoint needs every one of them. A step is done
    when its gradients are applied and the validation that is due after it is over, so that nothing of it is lost.
    """

    def __init__(self, checkpoint: Path) -> None:
        self.checkpoint = checkpoint
        self._received = 0
        self._previous: dict[int, Any] = {}
        self._speaks = True

    def on_sanity_check_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """From here on: Lightning has installed its own handlers by now."""
        if self._previous:
            return
        self._speaks = trainer.is_global_zero
        for signum in (signal.SIGINT, signal.SIGTERM):
            self._previous[signum] = signal.signal(signum, self._note)

    on_train_start = on_sanity_check_start  # a resumed fit has no sanity check

    def _note(self, signum: int, frame: FrameType | None) -> None:
        if self._received:
            raise StoppedAtOnce(signum)
        self._received = signum
        if self._speaks:
            print("\nfinishing this step, then saving; once more stops at once", file=sys.stderr, flush=True)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        count, gathered, validated = batch_idx + 1, trainer.accumulate_grad_batches, trainer.val_check_batch
        # At the end of an epoch its validation, and the checkpoint of that, come first.
        if trainer.is_last_batch or count % gathered or (isinstance(validated, int) and count % validated == 0):
            return
        if trainer.world_size == 1 or count // gathered % AGREE_EVERY == 0:
            self._stop_if_told(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._stop_if_told(trainer)

    def _stop_if_told(self, trainer: Trainer) -> None:
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
