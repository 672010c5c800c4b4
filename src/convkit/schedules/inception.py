"""The recipe of Inception v3 (Szegedy et al. 2016, §8): RMSprop with a large ε, exponential decay, smoothed labels."""

from typing import Any

from timm.optim import RMSpropTF
from torch.optim import Optimizer

from convkit.schedules.by_step import ByStep
from convkit.schedules.horizon import Horizon
from convkit.schedules.sgd import check_momentum


class Inception(ByStep):
    """RMSprop as TensorFlow has it, ε inside the root; the rate is multiplied by ``factor`` every other epoch.

    The paper clips gradients too, ``--trainer.gradient_clip_val 2.0``, and evaluates on a running average, ``ema``.

    Args:
        lr: the first learning rate.
        alpha: RMSprop's own decay, of the mean square.
        eps: added to the mean square.
        momentum: of RMSprop; the paper names none, its authors' published code had 0.9.
        weight_decay: the paper names none.
        factor: what the rate is multiplied by.
        every: epochs from one time to the next.
        label_smoothing: share of the target that is spread over all classes (§7).
    """

    def __init__(
        self,
        lr: float = 0.045,
        alpha: float = 0.9,
        eps: float = 1.0,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        factor: float = 0.94,
        every: float = 2.0,
        label_smoothing: float = 0.1,
        **options: Any,
    ) -> None:
        super().__init__(lr=lr, weight_decay=weight_decay, label_smoothing=label_smoothing, **options)
        check_momentum(momentum)
        if not (0 <= alpha <= 1 and 0 <= eps < float("inf")):
            raise ValueError(f"inception: alpha is a share from 0 to 1 and eps at least 0, unlike {alpha} and {eps}")
        if not 0 < factor <= 1:
            raise ValueError(f"inception: factor multiplies the rate, is from 0 to 1 and cannot be {factor}")
        if not 0 < every < float("inf"):
            raise ValueError(f"inception: every is a number of epochs and cannot be {every}")
        self.alpha, self.eps, self.momentum = alpha, eps, momentum
        self.decay_factor, self.every = factor, every

    def optimizer(self, groups: list[dict[str, Any]]) -> Optimizer:
        made: Optimizer = RMSpropTF(groups, alpha=self.alpha, eps=self.eps, momentum=self.momentum)
        return made

    def factor(self, horizon: Horizon, step: int) -> float:
        times = step // max(horizon.steps(self.every), 1)
        return self.decay_factor**times
