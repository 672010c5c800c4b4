"""How a network is optimised: parameter groups, optimizer, learning-rate policy, and the loss."""

from abc import ABC, abstractmethod
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the field's own name

from convkit.convnet import ConvNet, Outputs


class Schedule(ABC):
    """A recipe: one object, its constructor's arguments the configuration.

    Args:
        aux_weight: what each auxiliary head's loss counts beside the main one (0.3 in Szegedy et al. 2015, §5).
    """

    def __init__(self, aux_weight: float = 0.3) -> None:
        self.aux_weight = aux_weight

    @abstractmethod
    def optimizers(self, net: ConvNet, trainer: Trainer) -> OptimizerLRScheduler:
        """What Lightning's ``configure_optimizers`` returns."""

    def param_groups(self, net: ConvNet) -> list[dict[str, Any]]:
        """Groups for the optimizer, made at the start, each with a ``name``: its rate is logged as ``lr/<name>``."""
        return [{"name": "all", "params": list(net.parameters())}]

    def losses(self, outputs: Outputs, targets: Tensor) -> dict[str, Tensor]:
        """Mean cross-entropy over the batch: ``"loss"`` is minimised, ``"aux/<head>"`` are the heads' own curves."""
        loss = F.cross_entropy(outputs.logits, targets)
        heads = {f"aux/{name}": F.cross_entropy(logits, targets) for name, logits in outputs.aux.items()}
        for value in heads.values():
            loss = loss + self.aux_weight * value
        return {"loss": loss, **heads}
