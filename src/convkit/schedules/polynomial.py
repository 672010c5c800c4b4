"""The rate falls as a power of what is left: Caffe's ``poly``, of its quick recipe for GoogLeNet."""

import math
from typing import Any

from torch.optim import SGD, Optimizer

from convkit.schedules.by_step import ByStep
from convkit.schedules.horizon import Horizon
from convkit.schedules.sgd import check_momentum


class Polynomial(ByStep):
    """SGD with momentum; the rate is ``lr`` · (1 − t) ** ``power``, t the share of training that is done.

    Args:
        lr: the highest learning rate.
        momentum: of SGD.
        weight_decay: of SGD.
        power: 0.5 in Caffe's bvlc_googlenet/quick_solver; 1 falls in a straight line.
    """

    def __init__(
        self,
        lr: float = 0.01,
        momentum: float = 0.9,
        weight_decay: float = 2e-4,
        power: float = 0.5,
        **options: Any,
    ) -> None:
        super().__init__(lr=lr, weight_decay=weight_decay, **options)
        check_momentum(momentum)
        if not 0 < power < float("inf"):
            raise ValueError(f"polynomial: power is above 0 and cannot be {power}")
        self.momentum, self.power = momentum, power

    def optimizer(self, groups: list[dict[str, Any]]) -> Optimizer:
        return SGD(groups, momentum=self.momentum)

    def factor(self, horizon: Horizon, step: int) -> float:
        return math.pow(1 - horizon.done(step), self.power)
