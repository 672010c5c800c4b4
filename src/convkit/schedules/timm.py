"""Any optimizer of timm (Wightman 2019, github.com/huggingface/pytorch-image-models) by its name."""

from typing import Any, Literal

import torch
from timm.optim import create_optimizer_v2, get_optimizer_info, list_optimizers
from torch.optim import Optimizer

from convkit.errors import did_you_mean
from convkit.schedules.by_step import ByStep
from convkit.schedules.decline import DECLINE
from convkit.schedules.horizon import Horizon


class Timm(ByStep):
    """An optimizer of timm, by default at a rate that falls along half a cosine.

    Args:
        optimizer: as in ``timm.optim.list_optimizers()``: ``adamw``, ``lamb``, ``lion`` …
        lr: the highest learning rate.
        weight_decay: as the optimizer understands it: of AdamW's kind, apart from the gradient.
        policy: what becomes of the rate after the warm-up.
        options: more arguments of the optimizer, such as ``{betas: [0.9, 0.95]}``.
    """

    def __init__(
        self,
        optimizer: str,
        lr: float = 1e-3,
        weight_decay: float = 0.05,
        policy: Literal["constant", "cosine", "linear"] = "cosine",
        options: dict[str, Any] | None = None,
        **common: Any,
    ) -> None:
        super().__init__(lr=lr, weight_decay=weight_decay, **common)
        self.name, self.policy, self.options = optimizer, policy, dict(options or {})
        every = [str(each) for each in list_optimizers()]
        known = [each for each in every if not get_optimizer_info(each).second_order]
        if optimizer not in known:
            if optimizer in every:
                raise ValueError(f"timm: {optimizer} needs second derivatives, which are not computed in training")
            raise ValueError(f"timm has no optimizer {optimizer!r}{did_you_mean(optimizer, known)}")
        for name in self.options:
            if name in ("lr", "weight_decay"):
                raise ValueError(f"timm: {name} is an option of the schedule, not of {optimizer}")
        weight = torch.nn.Parameter(torch.zeros(2, 2))
        self.optimizer([{"name": "any", "params": [weight], "lr": lr, "weight_decay": weight_decay}])

    def optimizer(self, groups: list[dict[str, Any]]) -> Optimizer:
        given = {"lr": self.lr, "weight_decay": self.weight_decay, **self.options}
        try:
            made: Optimizer = create_optimizer_v2(groups, self.name, **given)
        except Exception as error:
            why = (str(error).strip() or type(error).__name__).splitlines()[0]
            asked = f" with {self.options}" if self.options else ""
            raise ValueError(f"timm: {self.name} cannot be made{asked}: {why}") from error
        return made

    def factor(self, horizon: Horizon, step: int) -> float:
        return 1.0 if self.policy == "constant" else DECLINE[self.policy](horizon.done(step))
