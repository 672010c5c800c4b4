"""Your own photographs: a folder a class."""

from pathlib import Path
from typing import Any

import numpy as np

from convkit.datasets.files import Files, folders, holds_images, scan
from convkit.datasets.photographs import Photographs, Rows
from convkit.datasets.subset import stratified
from convkit.errors import UserError

TEST_SHARE = 0.2
_PARTS = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}


class ImageFolder(Photographs):
    """``root/train/CLASS/*.jpg`` with ``val`` and ``test`` beside ``train``, or ``root/CLASS/*.jpg``.

    Where there is no ``val``, ``val_fraction`` of the training images validates; where there is no ``test``, the
    validation images test. Of plain class folders a fifth of each is the test set, always the same.

    Args:
        root: the folder.
    """

    def __init__(self, root: str, **options: Any) -> None:
        super().__init__(**options)
        self.root = Path(root).expanduser()
        self.parts = self._parts()
        place = self.root / self.parts["train"]
        self.folder_names = folders(place)
        if not self.folder_names:
            images = ", only images of no class" if holds_images(place) else ""
            raise UserError(f"{place} has no class folders{images}; wanted {place / 'CLASS'}/*.jpg")
        self.class_names = list(self.folder_names)
        self.num_classes = len(self.class_names)

    def _parts(self) -> dict[str, str]:
        """The folder of each split below the root; itself where there is one for all."""
        present = set(folders(self.root))
        if "train" not in present or not folders(self.root / "train"):
            return {"train": "."}  # or a class is called train
        return {
            part: found
            for part, names in _PARTS.items()
            if (found := next((name for name in names if name in present), None))
        }

    def load(self) -> tuple[Files, dict[str, Rows]]:
        names: list[bytes] = []
        targets: list[int] = []
        rows: dict[str, Rows] = {}
        for part, folder in self.parts.items():
            found, of_class = scan(self.root, folder, self.folder_names)
            rows[part] = np.arange(len(names), len(names) + len(found))
            names += found
            targets += of_class
        files = Files(self.root, names, targets)
        if list(self.parts.values()) == ["."]:
            test = stratified(files.targets, TEST_SHARE, seed=0).numpy()
            rows = {"train": np.flatnonzero(~test), "test": np.flatnonzero(test)}
        return files, rows
