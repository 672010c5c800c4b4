"""The recipe of the residual networks (He et al. 2016, §3.4 and §4.2): divide the rate at milestones."""

from itertools import pairwise
from typing import Any, Literal

from torch.optim import SGD, Optimizer

from convkit.schedules.by_step import ByStep
from convkit.schedules.horizon import Horizon
from convkit.schedules.sgd import check_momentum


class Steps(ByStep):
    """SGD with momentum; the rate is divided at each milestone.

    The milestones are those of CIFAR: 32,000 and 48,000 of 64,000 steps, in epochs of 391 batches of 128, to be trained
    for 164.

    Args:
        lr: the first learning rate.
        momentum: of SGD.
        nesterov: take the gradient where the momentum leads.
        weight_decay: of SGD.
        milestones: epochs, or steps, after which the rate is divided; ascending.
        unit: of the milestones.
        factor: what the rate is divided by at each.
    """

    def __init__(
        self,
        lr: float = 0.1,
        momentum: float = 0.9,
        nesterov: bool = False,
        weight_decay: float = 1e-4,
        milestones: list[float] = [82, 123],  # noqa: B006 - read only
        unit: Literal["epochs", "steps"] = "epochs",
        factor: float = 10.0,
        **options: Any,
    ) -> None:
        super().__init__(lr=lr, weight_decay=weight_decay, **options)
        check_momentum(momentum, nesterov)
        if not 1 < factor < float("inf"):
            raise ValueError(f"steps: factor divides the rate and must be above 1, not {factor}")
        if any(now <= before for before, now in pairwise([0, *milestones])):
            raise ValueError(f"steps: milestones are above 0 and ascend, unlike {milestones}")
        self.momentum, self.nesterov = momentum, nesterov
        self.milestones, self.unit, self.divisor = list(milestones), unit, factor

    def optimizer(self, groups: list[dict[str, Any]]) -> Optimizer:
        return SGD(groups, momentum=self.momentum, nesterov=self.nesterov)

    def factor(self, horizon: Horizon, step: int) -> float:
        places = [horizon.steps(each) if self.unit == "epochs" else each for each in self.milestones]
        return self.divisor ** -sum(step >= place for place in places)
