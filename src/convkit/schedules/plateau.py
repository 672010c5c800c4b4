"""The VGG recipe (Simonyan & Zisserman 2015, §3.1): divide the rate when validation stalls, thrice, then stop."""

import sys
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from convkit.convnet import ConvNet
from convkit.schedules.base import Schedule


class PlateauRate(ReduceLROnPlateau):
    """torch's policy with an end: after ``max_drops`` drops the next plateau sets ``finished``.

    ``step`` is called after each validation with its value; ``said`` is what the last call did and why, or empty.
    The state is what has happened, not the configuration: a resumed fit goes on with the options that it is given now.
    """

    STATE = ("best", "num_bad_epochs", "last_epoch", "drops", "finished")

    def __init__(self, optimizer: Optimizer, monitor: str, max_drops: int, **options: Any) -> None:
        super().__init__(optimizer, eps=0.0, **options)  # its own eps would ignore drops of a small rate
        self.monitor, self.max_drops = monitor, max_drops
        self.drops = 0
        self.finished = False
        self.said = ""
        self._given = [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]

    def step(self, metrics: Any, epoch: int | None = None) -> None:  # type: ignore[override]
        value = float(metrics)
        rates = [group["lr"] for group in self.optimizer.param_groups]
        self.said = ""
        super().step(value)
        lowered = [group["lr"] for group in self.optimizer.param_groups]
        if lowered == rates:
            return
        why = f"{self.monitor} has not improved on {self.best:.4g} in {self.patience + 1} validations"
        if self.drops == self.max_drops:
            for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
                group["lr"] = rate
            self.finished = True
            self.said = f"{why}: the rate has dropped {self.drops} times, training stops"
        else:
            self.drops += 1
            self.said = f"{why}: rate {rates[0]:.4g} -> {lowered[0]:.4g} (drop {self.drops} of {self.max_drops})"

    def state_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.STATE}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Called once the optimizer has its own state, whose options are those of the fit before."""
        for name in self.STATE:
            setattr(self, name, state_dict[name])
        self.finished = self.finished and self.drops >= self.max_drops
        for group, given in zip(self.optimizer.param_groups, self._given, strict=True):
            group.update(given)
            for _ in range(self.drops):  # as step() does it, to the last bit
                group["lr"] *= self.factor


class Plateau(Schedule):
    """SGD with momentum; the rate is divided when the monitored value stops improving.

    Args:
        lr: the first learning rate.
        momentum: of SGD.
        weight_decay: on every parameter, as in the paper.
        factor: what the rate is divided by at a drop.
        patience: validations without improvement that are forgiven; the next one drops the rate.
        threshold: what counts as an improvement, in the monitor's unit (percent for an error).
        max_drops: drops before the next plateau stops training.
        monitor: the value to watch; lower is better.
        aux_weight: what each auxiliary head's loss counts beside the main one.
    """

    def __init__(
        self,
        lr: float = 1e-2,
        momentum: float = 0.9,
        weight_decay: float = 5e-4,
        factor: float = 10.0,
        patience: int = 5,
        threshold: float = 0.0,
        max_drops: int = 3,
        monitor: str = "val/top1_error",
        aux_weight: float = 0.3,
    ) -> None:
        super().__init__(aux_weight)
        if factor <= 1:
            raise ValueError(f"plateau: factor divides the rate and must be above 1, not {factor}")
        for name, count in (("patience", patience), ("max_drops", max_drops)):
            if count < 0:
                raise ValueError(f"plateau: {name} is a count and cannot be {count}")
        self.lr, self.momentum, self.weight_decay = lr, momentum, weight_decay
        self.factor, self.patience, self.threshold, self.max_drops = factor, patience, threshold, max_drops
        self.monitor = monitor

    def optimizers(self, net: ConvNet, trainer: Trainer) -> OptimizerLRScheduler:
        optimizer = SGD(self.param_groups(net), lr=self.lr, momentum=self.momentum, weight_decay=self.weight_decay)
        rate = PlateauRate(
            optimizer,
            self.monitor,
            self.max_drops,
            factor=1 / self.factor,
            patience=self.patience,
            threshold=self.threshold,
            threshold_mode="abs",
        )
        # Validation steps it. Lightning would look for the monitor after every epoch, and fail where there was none
        # (lightning#10496): it is told never to.
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": rate, "monitor": self.monitor, "frequency": sys.maxsize},
        }
