"""A folder a class, with folders for training, validation and test above them or not; and what of it is which split."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convkit.datasets.divided import DividedData
from convkit.datasets.files import Files, folders, holds_images, scan
from convkit.datasets.subset import stratified, subset
from convkit.errors import UserError

TEST_SHARE = 0.2
_PARTS = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}
Rows = NDArray[np.int64]


class ClassFolders:
    """``root/train/CLASS/*.jpg`` with ``val`` and ``test`` beside ``train``, or ``root/CLASS/*.jpg``.

    ``parts`` has the folder of each split that there is, ``names`` the classes' folders.

    Raises:
        UserError: there is no such folder, or it has no class folders.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.parts = self._parts()
        place = root / self.parts["train"]
        self.names = folders(place)
        if not self.names:
            images = ", only images of no class" if holds_images(place) else ""
            raise UserError(f"{place} has no class folders{images}; wanted {place / 'CLASS'}/*.jpg")

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
        """All image files, and which rows of them are of each part; a fifth of plain class folders is the test set."""
        names: list[bytes] = []
        targets: list[int] = []
        rows: dict[str, Rows] = {}
        for part, folder in self.parts.items():
            found, of_class = scan(self.root, folder, self.names)
            rows[part] = np.arange(len(names), len(names) + len(found))
            names += found
            targets += of_class
        files = Files(self.root, names, targets)
        if list(self.parts.values()) == ["."]:
            test = stratified(files.targets, TEST_SHARE, seed=0).numpy()
            rows = {"train": np.flatnonzero(~test), "test": np.flatnonzero(test)}
        return files, rows


def completed(files: Files, rows: dict[str, Rows], data: DividedData) -> dict[str, Rows]:
    """All three splits, as the options of ``data`` have them.

    Validation comes from training where there is none, test is the validation's where there is none.
    """
    train = rows["train"]
    if "val" not in rows and data.val_fraction:
        held_out = stratified(files.targets[train], data.val_fraction, data.seed).numpy()
        rows = {**rows, "train": train[~held_out], "val": train[held_out]}
    known = [name for name in ("val", "test") if name in rows]
    if not known:
        raise UserError(f"{files.root} has no validation images; give some, or --data.val_fraction above 0")
    rows = {"train": rows["train"], "val": rows[known[0]], "test": rows[known[-1]]}
    for name, kind in (("train", "training"), ("val", "validation"), ("test", "test")):
        if not len(rows[name]):
            raise UserError(
                f"{files.root}: {len(files)} images leave none for {kind}; data.val_fraction is {data.val_fraction}"
            )
    targets = files.targets[rows["train"]]
    chosen = subset(targets, data.class_names, fraction=data.fraction, per_class=data.per_class, seed=data.seed)
    return {**rows, "train": rows["train"][chosen.numpy()]}
