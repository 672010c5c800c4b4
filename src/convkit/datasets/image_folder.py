"""Your own photographs: a folder a class."""

from pathlib import Path
from typing import Any

from convkit.datasets.class_folders import ClassFolders, Rows
from convkit.datasets.files import Files
from convkit.datasets.photographs import Photographs


class ImageFolder(Photographs):
    """``root/train/CLASS/*.jpg`` with ``val`` and ``test`` beside ``train``, or ``root/CLASS/*.jpg``.

    Where there is no ``val``, ``val_fraction`` of the training images validates; where there is no ``test``, the
    validation images test. Of plain class folders a fifth of each is the test set, always the same.

    Args:
        root: the folder.
    """

    def __init__(self, root: str, **options: Any) -> None:
        super().__init__(**options)
        self.folders = ClassFolders(Path(root).expanduser())
        self.class_names = list(self.folders.names)
        self.num_classes = len(self.class_names)

    def load(self) -> tuple[Files, dict[str, Rows]]:
        return self.folders.load()
