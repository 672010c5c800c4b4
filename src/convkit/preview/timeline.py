"""The learning rate over a whole run: the policies that a fit would step, stepped without one."""

import warnings
from typing import Any, NamedTuple

import numpy as np
from lightning.pytorch import Trainer
from lightning.pytorch.utilities.types import LRSchedulerConfig
from numpy.typing import NDArray
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

from convkit.preview.groups import name_of
from convkit.preview.start import Steps
from convkit.schedules.rates import StepRate

Rates = NDArray[np.float64]
CLOSED = (LambdaLR, StepRate)  # policies whose rates are a function of the number of steps alone
ENDLESS = 100  # epochs that are shown of a run without an end


class Drop(NamedTuple):
    """A rate that had stayed is another from the step after ``step`` on, and stays again."""

    step: int
    before: float
    after: float


class Timeline(NamedTuple):
    """``rates[group][n]`` is the rate that is used once ``n`` steps are done, by the step after them.

    ``waits`` is what a policy that watches validation does, or empty: until it decides, the rates are these.
    """

    rates: dict[str, Rates]
    waits: str

    def sampled(self, most: int) -> list[int]:
        """Numbers of steps, the first and the last among them."""
        last = len(next(iter(self.rates.values()))) - 1
        return sorted({round(each) for each in np.linspace(0, last, most)})

    def drops(self, group: str) -> list[Drop]:
        rates = self.rates[group]
        lower = np.flatnonzero(rates[1:] < rates[:-1]) + 1
        stays = np.concatenate([[True], rates[1:] == rates[:-1], [True]])  # stays[n]: from n - 1 to n nothing changed
        return [
            Drop(int(at), float(rates[at - 1]), float(rates[at])) for at in lower if stays[at - 1] and stays[at + 1]
        ]

    def shapes(self) -> list[list[str]]:
        """Groups whose rates are the same but for a factor, the highest rate first."""
        found: list[list[str]] = []
        for name in sorted(self.rates, key=lambda name: -self.rates[name].max()):
            for alike in found:
                if np.allclose(_shape(self.rates[name]), _shape(self.rates[alike[0]]), rtol=1e-6, atol=1e-9):
                    alike.append(name)
                    break
            else:
                found.append([name])
        return found


def timeline(trainer: Trainer, steps: Steps) -> Timeline:
    """The rates of the optimizers' groups; those that the optimizers have are of no use afterwards.

    A policy of steps steps after each of them, one of epochs after each epoch, as Lightning has it.
    """
    groups = [group for optimizer in trainer.optimizers for group in optimizer.param_groups]
    names = [name_of(group, index) for index, group in enumerate(groups)]
    configs = [each for each in trainer.lr_scheduler_configs if not isinstance(each.scheduler, ReduceLROnPlateau)]
    per_epoch = steps.per_epoch or 1
    rates = np.empty((steps.total or ENDLESS * per_epoch, len(groups)))
    rates[:] = [group["lr"] for group in groups]
    with warnings.catch_warnings():  # that the optimizer did not step before the policy
        warnings.simplefilter("ignore")
        if len(configs) == 1 and configs[0].interval == "step" and isinstance(configs[0].scheduler, CLOSED):
            _look_up(rates, configs[0].scheduler)
        elif configs:
            _step_through(rates, configs, per_epoch, trainer)
    return Timeline({name: rates[:, index] for index, name in enumerate(names)}, _waits(trainer))


def _look_up(rates: Rates, policy: Any) -> None:
    for step in range(len(rates)):
        policy.last_epoch = step
        rates[step] = policy.get_lr()


def _step_through(rates: Rates, configs: list[LRSchedulerConfig], per_epoch: int, trainer: Trainer) -> None:
    for step in range(1, len(rates)):
        for config in configs:
            if config.interval == "epoch":
                index, due = divmod(step, per_epoch)
            else:  # Lightning counts the batches of an epoch
                index, due = ((step - 1) % per_epoch + 1) * trainer.accumulate_grad_batches, 0
                index = min(index, int(trainer.num_training_batches))
            if not due and index % config.frequency == 0:
                scheduler: Any = config.scheduler
                scheduler.step()
        rates[step] = [group["lr"] for optimizer in trainer.optimizers for group in optimizer.param_groups]


def _waits(trainer: Trainer) -> str:
    for config in trainer.lr_scheduler_configs:
        policy = config.scheduler
        if isinstance(policy, ReduceLROnPlateau):
            most = getattr(policy, "max_drops", None)
            end = f", {most} times; at the next plateau training stops" if most is not None else ""
            count = f"{policy.patience + 1} validations" if policy.patience else "a validation"
            return (
                "until validation decides: divided by "
                f"{1 / policy.factor:.4g} when {config.monitor} has not improved in {count}{end}"
            )
    return ""


def _shape(rates: Rates) -> Rates:
    most = rates.max()
    return rates / most if most > 0 else rates
