"""The recipe of Jordan 2024, "94% on CIFAR-10 in 3.29 seconds on a single GPU" (arXiv 2404.00498), §3."""

from typing import Any

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import SGD, Optimizer

from convkit import ConvNet, Schedule
from convkit.schedules.horizon import Horizon
from convkit.schedules.rates import StepRate
from convkit_airbench.first_filters import WhitenFromData
from convkit_airbench.flipping import AlternatingFlip
from convkit_airbench.lookahead import Lookahead
from convkit_airbench.whitening import WhiteningConv

WHITEN, SHIFTS, WEIGHTS = "whiten", "shifts", "weights"


class Airbench(Schedule):
    """SGD with Nesterov's momentum, a rate that rises and falls, faster biases, smoothed labels and Lookahead.

    The defaults are the paper's for batches of 1024, in PyTorch's terms: its rate of 11.5 over the 1 + 1/(1 - 0.85) by
    which momentum multiplies it, and its decay of 0.0153 over 11.5. For other batches ``lr`` goes in proportion.

    Args:
        lr: the highest learning rate.
        momentum: Nesterov's.
        weight_decay: of weights; a bias decays as much at each step, however fast it learns.
        bias_scale: what the rate of batch norm's biases is multiplied by (§3.3).
        start: share of ``lr`` at the first step.
        peak: share of training after which it is all of ``lr``.
        end: share of ``lr`` at the last step.
        label_smoothing: share of the target that is spread over all classes.
        whiten_epochs: in which the whitening convolution's bias learns (§3.2).
        lookahead: whether every fifth step is taken back a part of the way (§3.4).
        alternating_flip: mirror half of the images in the first epoch, the other half in the next, and so on (§3.6).
    """

    def __init__(
        self,
        lr: float = 1.5,
        momentum: float = 0.85,
        weight_decay: float = 0.0153 / 11.5,
        bias_scale: float = 64.0,
        start: float = 0.2,
        peak: float = 0.23,
        end: float = 0.07,
        label_smoothing: float = 0.2,
        whiten_epochs: float = 3.0,
        lookahead: bool = True,
        alternating_flip: bool = True,
    ) -> None:
        super().__init__(lr=lr, weight_decay=weight_decay, label_smoothing=label_smoothing)
        for name, value, most in (("momentum", momentum, 1.0), ("peak", peak, 1.0)):
            if not 0 < value < most:
                raise ValueError(f"airbench: {name} is a share between 0 and 1, and cannot be {value}")
        for name, value in (("start", start), ("end", end)):
            if not 0 <= value <= 1:
                raise ValueError(f"airbench: {name} is a share of lr from 0 to 1, and cannot be {value}")
        if not 0 < bias_scale < float("inf"):
            raise ValueError(f"airbench: bias_scale multiplies the rate and must be above 0, not {bias_scale}")
        if not 0 <= whiten_epochs < float("inf"):
            raise ValueError(f"airbench: whiten_epochs is a number of epochs and cannot be {whiten_epochs}")
        self.momentum, self.bias_scale, self.whiten_epochs = momentum, bias_scale, whiten_epochs
        self.start, self.peak, self.end = start, peak, end
        self.lookahead, self.alternating_flip = lookahead, alternating_flip

    def param_groups(self, net: ConvNet) -> list[dict[str, Any]]:
        """Batch norm's biases, the whitening's, and all else; of each those that there are."""
        assert self.lr is not None
        assert self.weight_decay is not None
        own = {WHITEN: _of(net, WhiteningConv), SHIFTS: _of(net, _BatchNorm, "bias")}
        taken = {id(each) for members in own.values() for each in members}
        own[WEIGHTS] = [each for each in net.parameters() if id(each) not in taken]
        scales = {WHITEN: 1.0, SHIFTS: self.bias_scale, WEIGHTS: 1.0}
        return [
            {
                "name": name,
                "params": members,
                "lr": self.lr * scales[name],
                "weight_decay": self.weight_decay / scales[name],
            }
            for name, members in own.items()
            if members
        ]

    def optimizers(self, net: ConvNet, trainer: Trainer) -> OptimizerLRScheduler:
        optimizer = SGD(self.param_groups(net), momentum=self.momentum, nesterov=True)
        horizon = Horizon.of(trainer)
        horizon.done(0)  # that there is an end
        rate = _Triangle(optimizer, horizon, self)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": rate, "interval": "step"}}

    def factor(self, share: float) -> float:
        """What the rates are multiplied by once this share of the training is done."""
        if share < self.peak:
            return self.start + (1 - self.start) * share / self.peak
        return 1 + (self.end - 1) * min((share - self.peak) / (1 - self.peak), 1.0)

    def callbacks(self) -> list[Callback]:
        # The whitening first: Lookahead's slow weights begin with it.
        asked = ((True, WhitenFromData), (self.lookahead, Lookahead), (self.alternating_flip, AlternatingFlip))
        return [*super().callbacks(), *(kind() for wanted, kind in asked if wanted)]


class _Triangle(StepRate):
    """One factor for all groups; the whitening's is 0 from some epoch on, so that it stays as it is."""

    def __init__(self, optimizer: Optimizer, horizon: Horizon, schedule: Airbench) -> None:
        self._rest_from = horizon.steps(schedule.whiten_epochs)
        super().__init__(optimizer, lambda step: schedule.factor(step / horizon.end))

    def get_lr(self) -> list[Any]:
        names = [group["name"] for group in self.optimizer.param_groups]
        rests = self.last_epoch >= self._rest_from
        return [0.0 if rests and name == WHITEN else rate for name, rate in zip(names, super().get_lr(), strict=True)]


def _of(net: nn.Module, kind: type[nn.Module], name: str | None = None) -> list[nn.Parameter]:
    """The parameters, or those of a name, that the modules of a kind hold themselves."""
    return [
        parameter
        for module in net.modules()
        if isinstance(module, kind)
        for own, parameter in module.named_parameters(recurse=False)
        if name in (None, own)
    ]
