"""The VGG recipe (Simonyan & Zisserman 2015, §3.1): divide the rate when validation stalls, thrice, then stop."""

from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from convkit.convnet import ConvNet
from convkit.schedules.base import Schedule
from convkit.schedules.rates import Resumable
from convkit.schedules.sgd import check_momentum


class PlateauRate(Resumable, ReduceLROnPlateau):
    """torch's policy with an end: after ``max_drops`` drops the next plateau sets ``finished``.

    ``step`` is called after each validation with its value; ``said`` is what the last call did and why, or empty.
    """

    STATE = ("best", "num_bad_epochs", "last_epoch", "drops", "finished")

    def __init__(self, optimizer: Optimizer, monitor: str, max_drops: int, **options: Any) -> None:
        super().__init__(optimizer, eps=0.0, **options)  # its own eps would ignore drops of a small rate
        self.monitor, self.max_drops = monitor, max_drops
        self.drops = 0
        self.finished = False
        self.said = ""
        self.remember(optimizer)

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
            self.said = f"{why}: rate {max(rates):.4g} -> {max(lowered):.4g} (drop {self.drops} of {self.max_drops})"

    def take_up(self) -> None:
        self.finished = self.finished and self.drops >= self.max_drops
        for group in self.optimizer.param_groups:
            for _ in range(self.drops):  # as step() does it, to the last bit
                group["lr"] *= self.factor


class Plateau(Schedule):
    """SGD with momentum; the rate is divided when the monitored value stops improving.

    Args:
        lr: the first learning rate.
        momentum: of SGD.
        weight_decay: of SGD.
        factor: what the rate is divided by at a drop.
        patience: validations without improvement that are forgiven; the next one drops the rate.
        threshold: what counts as an improvement, in the monitor's unit (percent for an error).
        max_drops: drops before the next plateau stops training.
        monitor: the value to watch; lower is better.
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
        **options: Any,
    ) -> None:
        super().__init__(lr=lr, weight_decay=weight_decay, **options)
        check_momentum(momentum)
        if factor <= 1:
            raise ValueError(f"plateau: factor divides the rate and must be above 1, not {factor}")
        for name, count in (("patience", patience), ("max_drops", max_drops)):
            if count < 0:
                raise ValueError(f"plateau: {name} is a count and cannot be {count}")
        self.momentum = momentum
        self.factor, self.patience, self.threshold, self.max_drops = factor, patience, threshold, max_drops
        self.monitor = monitor

    def optimizers(self, net: ConvNet, trainer: Trainer) -> OptimizerLRScheduler:
        optimizer = SGD(self.param_groups(net), momentum=self.momentum)
        rate = PlateauRate(
            optimizer,
            self.monitor,
            self.max_drops,
            factor=1 / self.factor,
            patience=self.patience,
            threshold=self.threshold,
            threshold_mode="abs",
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": rate, "monitor": self.monitor}}
