"""``predictions.csv``: what the network says of every image."""

import csv
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from convkit.datasets.base import ImageData


class Predictions(Callback):
    """One row an image, in the loader's order: index, class, its probability, and the label where there is one."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._rows: list[Tensor] = []

    def on_predict_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *_: Any
    ) -> None:
        confidence, predicted = outputs.max(1)
        labels = batch[1] if isinstance(batch, (tuple, list)) else torch.full_like(predicted, -1)
        self._rows.append(torch.stack([predicted.double(), confidence.double(), labels.double()], 1).cpu())

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.path is None or not self._rows:
            return
        data = trainer.datamodule  # type: ignore[attr-defined]
        names = data.class_names if isinstance(data, ImageData) else None
        with self.path.open("x", newline="", encoding="utf-8", errors="backslashreplace") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["index", "predicted", "confidence", "label"])
            for index, (predicted, confidence, label) in enumerate(torch.cat(self._rows).tolist()):
                name, truth = (
                    "" if value < 0 else names[int(value)] if names else str(int(value)) for value in (predicted, label)
                )
                writer.writerow([index, name, f"{confidence:.6f}", truth])
