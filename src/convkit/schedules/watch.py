"""Policies that watch a metric are stepped by validation, and what they watch is there."""

import sys
from collections.abc import Collection
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.types import LRSchedulerConfig
from torch.optim.lr_scheduler import ReduceLROnPlateau

from convkit.errors import UserError, did_you_mean


class Watch(Callback):
    """Gives every ``ReduceLROnPlateau`` the value of its monitor after each validation, before a checkpoint is written.

    Lightning would do so at the end of every epoch, and fail where validation was skipped (lightning#10496, #20829).
    What a policy says of itself, ``said``, is printed; one that is ``finished`` ends the fit.

    Args:
        logged: the metrics that are known to come; a class of the user's may log more.
    """

    def __init__(self, logged: Collection[str]) -> None:
        self.logged = set(logged)
        self._checked = False  # what a sanity check logged is among them

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Before the first step.

        Raises:
            UserError: there is no validation, or nothing logs the monitor.
        """
        for config in _plateaus(trainer):
            config.frequency = sys.maxsize  # Lightning never steps it
            if not trainer.enable_validation:
                raise UserError(f"the schedule watches {config.monitor!r}, and there is no validation")
            if not self._may_come(str(config.monitor), trainer):
                _require(str(config.monitor), self.logged)

    def _may_come(self, monitor: str, trainer: Trainer) -> bool:
        """Whether a class of the user's might log it later, without that the sanity check could tell."""
        return has_strangers(trainer) and (not self._checked or monitor.startswith("train/"))

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        known = trainer.callback_metrics
        if trainer.sanity_checking:
            self.logged |= known.keys()
            self._checked = True
        elif trainer.state.fn == "fit":
            for config in _plateaus(trainer):
                _require(str(config.monitor), known)
                _step(config.scheduler, known[str(config.monitor)].item(), trainer, pl_module)


def has_strangers(trainer: Trainer) -> bool:
    """Whether the module or a callback is a class of the user's, which may log what it likes."""
    classes = map(type, [trainer.lightning_module, *trainer.callbacks])  # type: ignore[attr-defined]
    return any(not each.__module__.startswith(("convkit.", "lightning.")) for each in classes)


def _step(scheduler: Any, value: float, trainer: Trainer, pl_module: LightningModule) -> None:
    scheduler.step(value)
    if said := getattr(scheduler, "said", ""):
        pl_module.print(f"epoch {trainer.current_epoch + 1}: {said}")
    if getattr(scheduler, "finished", False):
        trainer.should_stop = True


def _plateaus(trainer: Trainer) -> list[LRSchedulerConfig]:
    return [each for each in trainer.lr_scheduler_configs if isinstance(each.scheduler, ReduceLROnPlateau)]


def _require(monitor: str, known: Collection[str]) -> None:
    if monitor not in known:
        near = did_you_mean(monitor, set(known) - {"step", "epoch"})
        raise UserError(f"the schedule watches {monitor!r}, which nothing logs{near}")
