"""The rate falls along half a cosine (Loshchilov & Hutter 2017, §3, without restarts)."""

from typing import Any

from torch.optim import SGD, Optimizer

from convkit.schedules.by_step import ByStep
from convkit.schedules.decline import DECLINE
from convkit.schedules.horizon import Horizon
from convkit.schedules.sgd import check_momentum


class Cosine(ByStep):
    """SGD with Nesterov's momentum; the rate falls from ``lr`` to ``end`` times that.

    Args:
        lr: the highest learning rate.
        momentum: of SGD.
        nesterov: take the gradient where the momentum leads.
        weight_decay: of SGD.
        end: share of ``lr`` that is left at the end.
    """

    def __init__(
        self,
        lr: float = 0.05,
        momentum: float = 0.9,
        nesterov: bool = True,
        weight_decay: float = 5e-4,
        end: float = 0.0,
        **options: Any,
    ) -> None:
        super().__init__(lr=lr, weight_decay=weight_decay, **options)
        check_momentum(momentum, nesterov)
        if not 0 <= end <= 1:
            raise ValueError(f"cosine: end is a share of the rate, from 0 to 1, and cannot be {end}")
        self.momentum, self.nesterov, self.end = momentum, nesterov, end

    def optimizer(self, groups: list[dict[str, Any]]) -> Optimizer:
        return SGD(groups, momentum=self.momentum, nesterov=self.nesterov)

    def factor(self, horizon: Horizon, step: int) -> float:
        return self.end + (1 - self.end) * DECLINE["cosine"](horizon.done(step))
