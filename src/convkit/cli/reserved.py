"""The directory that a command takes for its results, and gives back when it fails before it has any."""

import contextlib
import shutil
from pathlib import Path

from lightning.pytorch import Trainer

from convkit.callbacks.record import Record
from convkit.tracking.weights_and_biases import Tracker


class Reserved:
    """The directory of a command's results, on the first rank, once there is one."""

    def __init__(self) -> None:
        self.directory: Path | None = None
        self.record: Record | None = None
        self.trainer: Trainer | None = None
        self.tracker: Tracker | None = None  # the W&B run

    def finish(self, status: int = 0) -> None:
        """End the W&B run: what it has not written yet is written now."""
        if self.tracker is not None:
            self.tracker.finish(status)
            self.tracker = None

    def discard(self) -> None:
        """Remove the directory of a command that failed before it had trained a step, and what it alone lay in."""
        self.finish(1)
        if self.directory is None or (self.record and self.record.started):
            return
        shutil.rmtree(self.directory, ignore_errors=True)
        with contextlib.suppress(OSError):  # others are in there
            for folder in (self.directory.parent, self.directory.parent.parent):
                folder.rmdir()
