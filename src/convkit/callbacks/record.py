"""What a run keeps of itself: its configuration in every checkpoint, what it was made with, what it started from, its
metrics on disk after every epoch."""

import json
import time
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger

from convkit.classifier import Classifier
from convkit.datasets.base import ImageData
from convkit.made_with import made_with
from convkit.run import Run
from convkit.run_directory import MADE_WITH, STARTED_FROM, point_latest
from convkit.tracking import show
from convkit.tracking.weights_and_biases import Tracker


class Record(Callback):
    """Puts the configuration and what the data is into checkpoints, so that one file is enough to go on or to predict.

    ``seconds`` is the time that training took, without set-up; ``started`` whether it came to a first step.
    """

    def __init__(self, run: Path | None, config: dict[str, Any]) -> None:
        self.run, self.config = run, config
        self.made_with: dict[str, Any] = {}
        self.started = False
        self.seconds = 0.0
        self._clock = 0.0

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.run:
            self.made_with = made_with(self.config, trainer.datamodule)  # type: ignore[attr-defined]
            (self.run / MADE_WITH).write_text(json.dumps(self.made_with, indent=1) + "\n")
            show.facts(trainer.loggers, "config", self.config)
            show.facts(trainer.loggers, "made_with", self.made_with)
        if isinstance(pl_module, Classifier) and pl_module.start and self.run:
            print(pl_module.start.told(pl_module.net))
            (self.run / STARTED_FROM).write_text(json.dumps(pl_module.start.record(), indent=1) + "\n")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._clock = time.monotonic()
        if trainer.ckpt_path:
            self._take_metrics_along(trainer, Path(trainer.ckpt_path))

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        if not self.started and self.run is not None:
            point_latest(self.run)  # not before: what fails sooner leaves no directory
        self.started = True

    def _take_metrics_along(self, trainer: Trainer, checkpoint: Path) -> None:
        """The rows up to the checkpoint's step, from the run that it lies in: a resumed run's curves begin at zero."""
        rows = Run(checkpoint.parent.parent).metrics
        for row in rows:
            step = int(row.pop("step"))
            if step <= trainer.global_step:
                for logger in trainer.loggers:
                    if not (isinstance(logger, Tracker) and logger.continues):  # that has them already
                        logger.log_metrics(row, step)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.seconds = time.monotonic() - self._clock
        for logger in trainer.loggers:
            if isinstance(logger, CSVLogger):
                logger.save()

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint["convkit"] = {"config": self.config, "made_with": self.made_with}
        for logger in trainer.loggers:
            if isinstance(logger, Tracker):
                checkpoint["convkit"]["wandb"] = logger.version
        data = trainer.datamodule  # type: ignore[attr-defined]
        if isinstance(data, ImageData):
            checkpoint["convkit"] |= {
                "class_names": list(data.class_names),
                "image_shape": list(data.image_shape),
                "mean": list(data.mean),
                "std": list(data.std),
            }
