"""A bar with error and rate on a terminal; elsewhere one line an epoch."""

import sys
import time
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import TQDMProgressBar

from convkit.classifier import Classifier

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
            parameters = sum(parameter.numel() for parameter in pl_module.net.parameters())
            device = trainer.strategy.root_device
            ranks = f" × {trainer.world_size}" if trainer.world_size > 1 else ""
            names = type(pl_module.net).__name__, type(trainer.datamodule).__name__  # type: ignore[attr-defined]
            print(
                f"{names[0]} ({parameters:,} parameters) on {names[1]}, {trainer.num_training_batches} steps an epoch, "
                f"{device}{ranks}",
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
