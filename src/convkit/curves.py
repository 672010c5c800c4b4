"""The curves of training: mean losses and the rates of the steps, straight to the loggers."""

from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from convkit.metrics import RunningMeans


class TrainingCurves:
    """Gathers the losses of ``module``'s steps; every ``log_every_n_steps`` their mean goes to the loggers.

    ``train/loss``, ``train/aux/<head>``, ``lr/<group>`` and ``epoch``; the mean of the whole epoch is logged for
    callbacks alone. Nothing is read from the device in between.
    """

    def __init__(self, module: LightningModule) -> None:
        self._owner = module
        self._since_log = RunningMeans()
        self._epoch = RunningMeans()
        self._logged_at = 0
        self._rates: dict[str, float] = {}  # of the step at hand

    def begin_step(self, rates: dict[str, float]) -> None:
        """The rates that it is taken with, as ``lr/<group>``."""
        self._rates = rates

    def add(self, losses: dict[str, Tensor]) -> None:
        """Of one step, or of one of the batches that make it."""
        self._since_log.add(losses)
        self._epoch.add(losses)

    def resume(self) -> None:
        """A signal may have ended the fit before a row was written."""
        if self._since_log.count and self._due():
            self._log()

    def end_step(self) -> None:
        # Straight to the loggers: self.log in every step costs more than a small network's own step.
        if self._owner.global_step > self._logged_at and self._due():
            self._log()

    def end_epoch(self) -> None:
        """The rest of it to the loggers, the mean of the whole to callbacks and the progress line."""
        if self._since_log.count:
            self._log()
        if self._epoch.count:
            means = self._over_ranks(self._epoch.read())
            self._owner.log_dict(means, on_step=self._owner.trainer.is_last_batch, logger=False)

    def state_dict(self) -> dict[str, Any]:
        means = {"since_log": self._since_log.state_dict(), "epoch": self._epoch.state_dict()}
        return {"running_means": means, "rates": self._rates}

    def load_state_dict(self, state: dict[str, Any], step: int) -> None:
        """What ``state_dict`` gave at this step; nothing where it is of a checkpoint without."""
        if means := state.get("running_means"):
            self._since_log.load_state_dict(means["since_log"], self._owner.device)
            self._epoch.load_state_dict(means["epoch"], self._owner.device)
            self._logged_at, self._rates = step, state["rates"]

    def _due(self) -> bool:
        return bool(self._owner.global_step % self._owner.trainer.log_every_n_steps == 0)  # type: ignore[attr-defined]

    def _log(self) -> None:
        owner = self._owner
        self._logged_at = owner.global_step
        means = self._over_ranks(self._since_log.read())
        if owner.trainer.is_global_zero:
            values = {name: value.item() for name, value in means.items()}
            values |= {"epoch": owner.current_epoch, **self._rates}
            for logger in owner.loggers:
                logger.log_metrics(values, step=owner.global_step)

    def _over_ranks(self, means: dict[str, Tensor]) -> dict[str, Tensor]:
        values = self._owner.trainer.strategy.reduce(torch.stack(list(means.values())), reduce_op="mean")
        assert isinstance(values, Tensor)
        return {f"train/{name}": value for name, value in zip(means, values, strict=True)}
