"""Checkpoints that are on disk as a whole or not at all."""

import os
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io import TorchCheckpointIO


class WholeFiles(TorchCheckpointIO):
    """Writes beside the file and renames, so that a process that is killed meanwhile leaves the one before.

    Lightning writes into the system's folder for temporary files and moves from there: where that is another file
    system, moving is copying, and a kill leaves half a file in the place of a whole one.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        if "://" in str(path) or storage_options is not None:
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        new = target.with_name(f".{target.name}.new")
        try:
            with new.open("wb") as file:
                torch.save(checkpoint, file)
            os.replace(new, target)
        except BaseException:
            new.unlink(missing_ok=True)
            raise
