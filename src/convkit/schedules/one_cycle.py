"""One cycle of the rate, up and down, with the momentum against it (Smith & Topin 2018; Smith 2018, §4)."""

from typing import Any, Literal

from torch.optim import SGD, Optimizer

from convkit.schedules.by_step import ByStep
from convkit.schedules.decline import DECLINE
from convkit.schedules.horizon import Horizon
from convkit.schedules.sgd import check_momentum


class OneCycle(ByStep):
    """SGD with momentum; the rate rises to ``lr`` and falls to next to nothing, the momentum falls and rises.

    Args:
        lr: the highest learning rate.
        momentum: the highest, at the start and at the end.
        low_momentum: the lowest, where the rate is highest.
        weight_decay: of SGD.
        rise: share of training in which the rate rises.
        first: what ``lr`` is divided by at the start.
        last: what the first rate is divided by at the end.
        shape: of the way up and down.
    """

    def __init__(
        self,
        lr: float = 0.1,
        momentum: float = 0.95,
        low_momentum: float = 0.85,
        weight_decay: float = 1e-4,
        rise: float = 0.3,
        first: float = 25.0,
        last: float = 1e4,
        shape: Literal["cosine", "linear"] = "cosine",
        **options: Any,
    ) -> None:
        super().__init__(lr=lr, weight_decay=weight_decay, warmup_epochs=0.0, **options)
        check_momentum(momentum)
        check_momentum(low_momentum)
        if not 0 < rise < 1:
            raise ValueError(f"one_cycle: rise is a share of training between 0 and 1, and cannot be {rise}")
        for name, divisor in (("first", first), ("last", last)):
            if not 1 <= divisor < float("inf"):
                raise ValueError(f"one_cycle: {name} divides the rate and must be at least 1, not {divisor}")
        self.momentum, self.low_momentum = momentum, low_momentum
        self.rise, self.first, self.last, self.shape = rise, first, last, shape

    def optimizer(self, groups: list[dict[str, Any]]) -> Optimizer:
        return SGD(groups, momentum=self.momentum)

    def factor(self, horizon: Horizon, step: int) -> float:
        first = 1 / self.first
        return self._between(horizon, step, first, 1.0, first / self.last)

    def momentum_at(self, horizon: Horizon, step: int) -> float:
        return self._between(horizon, step, self.momentum, self.low_momentum, self.momentum)

    def _between(self, horizon: Horizon, step: int, start: float, peak: float, end: float) -> float:
        # As torch's OneCycleLR counts, with which the last step has the last rate.
        horizon.done(step)  # that there is an end
        top, stop = self.rise * horizon.end - 1, horizon.end - 1
        if top > 0 and step <= top:
            return peak + (start - peak) * DECLINE[self.shape](step / top)
        return end + (peak - end) * DECLINE[self.shape](min((step - top) / (stop - top), 1.0))
