"""A network, schedules and a callback that ``convkit check`` is asked about, and that a fit can train with."""

import json
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import SGD
from torch.optim.lr_scheduler import LambdaLR, StepLR

from convkit import ConvNet
from convkit.schedules.base import Schedule


class Plain(ConvNet):
    """Convolution, ReLU, pooling, a dense layer; ``spare`` is in no path, ``still`` takes no gradient."""

    def __init__(
        self,
        num_classes: int,
        image_shape: tuple[int, int, int],
        spare: bool = False,
        still: bool = False,
        broken: bool = False,
    ) -> None:
        super().__init__()
        channels, height, width = image_shape
        self.stages = {"conv1": "relu", "head": "fc"}
        self.conv = nn.Conv2d(channels, 8, 3, padding=1)
        self.relu, self.pool = nn.ReLU(), nn.MaxPool2d(2)
        self.fc = nn.Linear(8 * (height // 2) * (width // 2), num_classes)
        self.spare = nn.Linear(3, 5) if spare else None
        self.broken = broken
        self.requires_grad_(not still)

    def forward(self, images: Tensor) -> Tensor:
        if self.broken and self.training:
            raise RuntimeError("maps of\nanother size")
        logits: Tensor = self.fc(self.pool(self.relu(self.conv(images))).flatten(1))
        return logits


class _Two(Schedule):
    """Adam-like groups of its own: ``body`` at a tenth of the rate and without decay, ``head``."""

    def __init__(self, lr: float = 0.1) -> None:
        super().__init__()
        self.first = lr

    def optimizer(self, net: ConvNet) -> SGD:
        head = [*net.stage("head").parameters()]
        body = [each for each in net.parameters() if id(each) not in {id(one) for one in head}]
        groups = [
            {"name": "body", "params": body, "lr": self.first / 10, "weight_decay": 0.0},
            {"name": "head", "params": head, "weight_decay": 1e-3},
        ]
        return SGD(groups, lr=self.first, momentum=0.9)


class Stairs(_Two):
    """Halved after every second epoch."""

    def optimizers(self, net: ConvNet, trainer: Trainer) -> OptimizerLRScheduler:
        optimizer = self.optimizer(net)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": StepLR(optimizer, 2, 0.5)}}


class Sawtooth(_Two):
    """Of the body by steps of five, of the head by steps of three."""

    def optimizers(self, net: ConvNet, trainer: Trainer) -> OptimizerLRScheduler:
        optimizer = self.optimizer(net)
        policy = LambdaLR(optimizer, [lambda step: 1 + step % 5, lambda step: 1 + step % 3])
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": policy, "interval": "step"}}


class Every(_Two):
    """Every third batch by a tenth less: a policy without a closed form, with a frequency."""

    def optimizers(self, net: ConvNet, trainer: Trainer) -> OptimizerLRScheduler:
        optimizer = self.optimizer(net)
        policy = StepLR(optimizer, 1, 0.9)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": policy, "interval": "step", "frequency": 3}}


class Used(Callback):
    """Writes down the rate of each group in each step of a fit."""

    def __init__(self, path: str) -> None:
        self.path, self.rates = Path(path), list[dict[str, float]]()

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: Any, optimizer: Any) -> None:
        self.rates.append({group.get("name", "0"): group["lr"] for group in optimizer.param_groups})

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        self.path.write_text(json.dumps(self.rates))
