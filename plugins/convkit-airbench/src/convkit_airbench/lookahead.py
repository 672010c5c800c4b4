"""Lookahead (Zhang, Lucas, Hinton, Ba 2019): slow weights that follow, and that the fast ones begin anew from."""

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

EVERY = 5  # steps
SLOWEST = 0.95**EVERY  # share that the slow weights keep, towards the end


class Lookahead(Callback):
    """Every five steps, slow ← share · slow + (1 − share) · fast, and fast ← slow; batch norm's statistics too.

    The share grows with the cube of what is done, from 0 to 0.77 (Jordan 2024, §3.4). After the last step the
    network has the slow weights as they are; where that is a fifth one it makes this move first.
    """

    def __init__(self) -> None:
        self._slow: dict[str, Tensor] = {}
        self._at = -1

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        now = _weights(pl_module)
        self._slow = {
            name: self._slow[name].to(value.device) if name in self._slow else value.clone()
            for name, value in now.items()
        }
        self._at = trainer.global_step

    @torch.no_grad()
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step, end = trainer.global_step, int(trainer.estimated_stepping_batches)
        if step == self._at:  # of several batches that make one step, not the last
            return
        self._at = step
        if step % EVERY == 0:
            self._follow(pl_module, SLOWEST * (step / end) ** 3)
        if step >= end > 0:
            self._follow(pl_module, 1.0)

    def _follow(self, module: LightningModule, share: float) -> None:
        for name, fast in _weights(module).items():
            self._slow[name].lerp_(fast, 1 - share)
            fast.copy_(self._slow[name])

    def state_dict(self) -> dict[str, Any]:
        return dict(self._slow)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._slow = dict(state_dict)


def _weights(module: LightningModule) -> dict[str, Tensor]:
    """What the network learns and what it counts, but for whole numbers; the tensors themselves."""
    net = module.net
    assert isinstance(net, torch.nn.Module)
    return {name: value.detach() for name, value in net.state_dict().items() if value.is_floating_point()}
