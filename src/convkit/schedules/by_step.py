"""A schedule whose rate is known beforehand for every step."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch.optim import Optimizer

from convkit.convnet import ConvNet
from convkit.errors import UserError
from convkit.schedules.base import Schedule
from convkit.schedules.horizon import Horizon
from convkit.schedules.rates import StepRate


class ByStep(Schedule):
    """Each group's own rate times ``factor``, which a subclass computes; ``optimizer`` is the subclass's too.

    Args:
        warmup_epochs: in which the rates rise from near 0 by as much at every step (Goyal et al. 2017, §2.2).
    """

    def __init__(self, warmup_epochs: float = 0.0, **options: Any) -> None:
        super().__init__(**options)
        if not 0 <= warmup_epochs < float("inf"):
            raise ValueError(f"model.schedule.warmup_epochs is a number of epochs and cannot be {warmup_epochs}")
        self.warmup_epochs = warmup_epochs

    @abstractmethod
    def optimizer(self, groups: list[dict[str, Any]]) -> Optimizer:
        """For these groups, each with its rate."""

    @abstractmethod
    def factor(self, horizon: Horizon, step: int) -> float:
        """What the rates are multiplied by once ``step`` steps are done; warm-up comes on top."""

    def momentum_at(self, horizon: Horizon, step: int) -> float | None:
        """The momentum where it changes as well, else None."""
        return None

    def warmed(self, horizon: Horizon, step: int) -> float:
        """``factor``, with warm-up."""
        if step < horizon.warmup:
            return (step + 1) / (horizon.warmup + 1)
        return self.factor(horizon, step)

    def horizon(self, trainer: Trainer) -> Horizon:
        """How long this fit is.

        Raises:
            UserError: warm-up takes all of it.
        """
        horizon = Horizon.of(trainer)
        horizon = replace(horizon, warmup=horizon.steps(self.warmup_epochs))
        if horizon.warmup >= horizon.end:
            raise UserError(
                f"model.schedule.warmup_epochs {self.warmup_epochs} is all of the {horizon.end} steps that there are"
            )
        return horizon

    def optimizers(self, net: ConvNet, trainer: Trainer) -> OptimizerLRScheduler:
        optimizer = self.optimizer(self.param_groups(net))
        horizon = self.horizon(trainer)
        changes = self.momentum_at(horizon, 0) is not None
        momentum: Callable[[int], Any] | None = (lambda step: self.momentum_at(horizon, step)) if changes else None
        rate = StepRate(optimizer, lambda step: self.warmed(horizon, step), momentum)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": rate, "interval": "step"}}
