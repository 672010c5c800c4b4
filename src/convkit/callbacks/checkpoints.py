"""The two checkpoints of a run: the best, and the last."""

import os
import shutil
from pathlib import Path
from typing import Any

from lightning.fabric.plugins.io import TorchCheckpointIO
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from convkit.callbacks.whole_files import WholeFiles
from convkit.weights import read_checkpoint


class LastCheckpoint(ModelCheckpoint):
    """``last.ckpt``, written at the end of every epoch, after its validation."""

    def __init__(self, folder: Path) -> None:
        super().__init__(dirpath=folder, filename="last", save_on_train_epoch_end=True, enable_version_counter=False)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:  # unless the user has chosen another
            trainer.strategy.checkpoint_io = WholeFiles()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Nothing: a resumed fit writes its own, in a new run."""


class BestCheckpoint(ModelCheckpoint):
    """``best.ckpt``, of the validation with the lowest ``monitor``.

    A resumed fit is a new run; it takes the best of the old one along, so that a later, worse epoch does not become
    the best.
    """

    def __init__(self, folder: Path, monitor: str) -> None:
        super().__init__(
            dirpath=folder,
            filename="best",
            monitor=monitor,
            mode="min",
            save_on_train_epoch_end=False,
            auto_insert_metric_name=False,
            enable_version_counter=False,
        )
        self._resumed_from: Path | None = None
        self._is_global_zero = True

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        self._is_global_zero = trainer.is_global_zero

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        # Called just before load_state_dict; the trainer does not know the path sooner. A test after the fit loads too.
        self._resumed_from = Path(trainer.ckpt_path) if trainer.ckpt_path and trainer.state.fn == "fit" else None

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if self._resumed_from is None or state_dict["best_model_score"] is None or self.dirpath is None:
            return
        old = self._resumed_from.parent / "best.ckpt"
        # Resumed from before the best was reached, it is not this run's yet.
        if (
            not old.is_file()
            or read_checkpoint(old)["global_step"] > read_checkpoint(self._resumed_from)["global_step"]
        ):
            return
        new = Path(self.dirpath) / "best.ckpt"
        if self._is_global_zero:
            new.parent.mkdir(parents=True, exist_ok=True)
            copied = new.with_name(".best.ckpt.new")
            shutil.copyfile(old, copied)
            os.replace(copied, new)
        self.best_model_path = self.kth_best_model_path = str(new)
        self.best_model_score = self.kth_value = state_dict["best_model_score"]
        self.best_k_models = {str(new): state_dict["best_model_score"]}
