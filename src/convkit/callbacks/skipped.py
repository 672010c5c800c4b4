"""``skipped.txt``: the images that a data set had to leave out."""

import sys
from pathlib import Path

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from convkit.tracking.sparing import spared


class Skipped(Callback):
    """Path and reason of each image in the data's ``skipped``, over all ranks, one a line; written as they are met."""

    def __init__(self, directory: Path | None) -> None:
        self.directory = directory
        self._told = 0

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._write(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.sanity_checking:
            self._write(trainer)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._write(trainer)

    def _write(self, trainer: Trainer) -> None:
        skipped: dict[str, str] = dict(getattr(trainer.datamodule, "skipped", {}))  # type: ignore[attr-defined]
        if trainer.world_size > 1:
            of_ranks: list[dict[str, str]] = [{} for _ in range(trainer.world_size)]
            torch.distributed.all_gather_object(of_ranks, skipped)
            skipped = {path: reason for one in of_ranks for path, reason in one.items()}
        if self.directory is None or len(skipped) == self._told:
            return
        path = self.directory / "skipped.txt"
        lines = (f"{path}\t{reason}\n" for path, reason in sorted(skipped.items()))
        with spared(f"{path} is not written", OSError):
            path.write_text("".join(lines), encoding="utf-8", errors="surrogateescape")
        count = len(skipped)
        print(f"{count} image{'s' * (count > 1)} left out that cannot be read: {path}", file=sys.stderr, flush=True)
        self._told = len(skipped)
