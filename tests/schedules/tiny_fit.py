"""A fit of a second: a dense network with batch norm, dropout and an auxiliary head, on the digits at 8×8."""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor, nn

from convkit.classifier import Classifier
from convkit.convnet import ConvNet, Outputs
from convkit.datasets.digits import Digits
from convkit.schedules.base import Schedule

STEPS = 11  # of an epoch


class Tiny(ConvNet):
    def __init__(self, num_classes: int, image_shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.stages, self.aux_heads = {"fc1": "relu", "head": "last"}, {"early": "early"}
        self.first, self.norm, self.relu = nn.Linear(64, 16), nn.BatchNorm1d(16), nn.ReLU()
        self.drop, self.last, self.early = nn.Dropout(0.2), nn.Linear(16, num_classes), nn.Linear(16, num_classes)

    def forward(self, images: Tensor) -> Tensor | Outputs:
        hidden = self.relu(self.norm(self.first(images.flatten(1))))
        logits = self.last(self.drop(hidden))
        return Outputs(logits, {"early": self.early(hidden)}) if self.training else logits


def classifier(schedule: Schedule, kind: type[Classifier] = Classifier) -> Classifier:
    torch.manual_seed(1)
    return kind(Tiny, schedule, None, 10, (1, 8, 8))


def fit(
    folder: Path, model: Classifier, *callbacks: Callback, ckpt_path: Path | None = None, **options: Any
) -> Trainer:
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": bool(callbacks)}
    settings = {"max_epochs": 2, "accelerator": "cpu", "log_every_n_steps": 1, **quiet, **options}
    trainer = Trainer(logger=CSVLogger(str(folder), name="", version=""), callbacks=list(callbacks), **settings)
    trainer.fit(model, Digits(size=8, batch_size=128), ckpt_path=ckpt_path, weights_only=True)
    return trainer
