"""How large the gradients are, by stage."""

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from convkit.classifier import Classifier
from convkit.errors import UserError
from convkit.parts import parameters_of, parts


class GradientNorms(Callback):
    """Logs ``grad_norm/<stage>``: the Euclidean norm of the gradients of all parameters of a stage, before clipping.

    They are those of the steps at which the loss is logged, every ``log_every_n_steps`` and at the end of an epoch;
    in between nothing is computed. They are read off the device once, with that row.
    """

    def __init__(self) -> None:
        self._parameters: dict[str, list[nn.Parameter]] = {}
        self._norms: tuple[list[str], Tensor] | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if not isinstance(pl_module, Classifier):
            raise UserError("GradientNorms watches a Classifier")
        named = dict(pl_module.net.named_parameters())
        self._parameters = {
            name: [named[each] for each in parameters_of(pl_module.net, paths)]
            for name, paths in parts(pl_module.net).items()
        }

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Any) -> None:
        due = (trainer.global_step + 1) % trainer.log_every_n_steps == 0  # type: ignore[attr-defined]
        if trainer.is_global_zero and (due or trainer.is_last_batch):
            of_stage = {name: [one.grad for one in of if one.grad is not None] for name, of in self._parameters.items()}
            learning = {name: gradients for name, gradients in of_stage.items() if gradients}
            norms = [get_total_norm(gradients) for gradients in learning.values()]
            self._norms = ([*learning], torch.stack(norms)) if norms else None

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        if self._norms is None:
            return
        names, norms = self._norms
        values = {f"grad_norm/{name}": norm for name, norm in zip(names, norms.tolist(), strict=True)}
        for logger in trainer.loggers:
            logger.log_metrics({**values, "epoch": trainer.current_epoch}, trainer.global_step)
        self._norms = None
