"""Checkpoints that are on disk as a whole or not at all."""

import errno
import os
import warnings
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io import TorchCheckpointIO

from convkit.errors import UserError

FULL = (errno.ENOSPC, errno.EDQUOT)


class WholeFiles(TorchCheckpointIO):
    """Writes beside the file and renames, so that a process that is killed meanwhile leaves the one before.

    Lightning writes into the system's folder for temporary files and moves from there: where that is another file
    system, moving is copying, and a kill leaves half a file in the place of a whole one.

    Where the disk is full and a checkpoint is kept already, the fit goes on with a warning.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        if "://" in str(path) or storage_options is not None:
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        target = Path(path)
        try:
            _write(checkpoint, target)
        except OSError as error:
            if error.errno not in FULL:
                raise
            said = f"{target} cannot be written: {error.strerror}"
            if not any(target.parent.glob("[!.]*.ckpt")):  # to train on for hours and keep nothing helps nobody
                raise UserError(f"{said}; make room, or give another --runs") from error
            warnings.warn(f"{said}; the fit goes on, and what was kept before stays", stacklevel=2)


def _write(checkpoint: dict[str, Any], target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    new = target.with_name(f".{target.name}.new")
    try:
        with new.open("wb") as file:
            torch.save(checkpoint, file)
        os.replace(new, target)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
