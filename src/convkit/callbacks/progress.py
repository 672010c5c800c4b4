"""A bar with error and rate on a terminal; elsewhere one line an epoch."""

import sys
import time
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import TQDMProgressBar
from torch import nn

from convkit.classifier import Classifier
from convkit.datasets.features import FeatureData

SHOWN = ("train/loss", "val/loss", "val/top1_error")


class Progress(TQDMProgressBar):
    """Lightning's tqdm bar with loss, validation error and learning rate; without a terminal, a plain line an epoch."""

    def __init__(self) -> None:
        # A redraw costs about as much as a small network's step: every tenth is often enough.
        super().__init__(refresh_rate=10)
        self._terminal = sys.stderr.isatty() and sys.stdout.isatty()
        self._clock = 0.0

    @property
    def is_enabled(self) -> bool:
        return self._terminal and super().is_enabled

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        metrics = trainer.callback_metrics
        shown: dict[str, Any] = {key: f"{metrics[key].item():.4g}" for key in SHOWN if key in metrics}
        rates = pl_module.rates() if isinstance(pl_module, Classifier) else {}
        return shown | {key: f"{rate:.3g}" for key, rate in rates.items()}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        self._clock = time.monotonic()  # resumed in mid-epoch, there is no start of one
        if trainer.is_global_zero and isinstance(pl_module, Classifier):
            every, learning = counts(pl_module.net)
            learn = "" if learning == every else f", {learning:,} learn"
            device = trainer.strategy.root_device
            ranks = f" × {trainer.world_size}" if trainer.world_size > 1 else ""
            data: Any = trainer.datamodule  # type: ignore[attr-defined]
            name = f"features of {type(data.images).__name__}" if isinstance(data, FeatureData) else type(data).__name__
            print(
                f"{type(pl_module.net).__name__} ({every:,} parameters{learn}) on {name}, "
                f"{trainer.num_training_batches} steps an epoch, {device}{ranks}",
                flush=True,
            )

    def on_train_epoch_start(self, trainer: Trainer, *arguments: Any) -> None:
        self._clock = time.monotonic()
        super().on_train_epoch_start(trainer, *arguments)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_epoch_end(trainer, pl_module)
        if self._terminal or not trainer.is_global_zero:
            return
        epochs = f"/{trainer.max_epochs}" if trainer.max_epochs and trainer.max_epochs > 0 else ""
        shown = "  ".join(f"{key} {value}" for key, value in self.get_metrics(trainer, pl_module).items())
        print(f"epoch {trainer.current_epoch + 1}{epochs}  {shown}  {time.monotonic() - self._clock:.1f} s", flush=True)


def counts(net: nn.Module) -> tuple[int, int]:
    """How many numbers a network's parameters hold, and how many of them learn."""
    every = [(parameter.numel(), parameter.requires_grad) for parameter in net.parameters()]
    return sum(count for count, _ in every), sum(count for count, learns in every if learns)
