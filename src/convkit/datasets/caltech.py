"""Caltech-101 (Fei-Fei et al. 2004) and Caltech-256 (Griffin et al. 2007), split as in Zeiler & Fergus 2014, §4.3."""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from torchvision import datasets

from convkit.datasets.class_folders import Rows
from convkit.datasets.download import Wanted, fetched
from convkit.datasets.files import Files, folders, scan
from convkit.datasets.photographs import Photographs
from convkit.errors import UserError


class Caltech101(Photographs):
    """101 classes of 31 to 800 photographs; the folder of background images is none of them.

    ``per_class`` images of each class, drawn by ``seed``, train, and up to 50 of the others test. The papers average
    the classes' accuracies over five draws: ``test_classes.json`` of five seeds.

    Args:
        root: folder that holds ``caltech101/101_ObjectCategories``, as torchvision lays it out; downloaded if absent.
        per_class: training images of each class: 15 or 30 in the paper.
        val_fraction: share of those that validates; with 0, as in the paper, the test images do.
    """

    source: ClassVar[Any] = datasets.Caltech101
    folder: ClassVar[str] = "caltech101/101_ObjectCategories"
    archive: ClassVar[str] = "caltech101/caltech-101.zip"
    md5: ClassVar[str] = "3138e1922a9193bfa496528edbbc45d0"
    no_class: ClassVar[str] = "BACKGROUND_Google"
    most_test: ClassVar[int | None] = 50
    num_classes = 101

    def __init__(self, root: str = "data", per_class: int = 30, val_fraction: float = 0.0, **options: Any) -> None:
        super().__init__(val_fraction=val_fraction, **options)
        if per_class < 1:
            raise ValueError(f"data.per_class is a number of images and cannot be {per_class}")
        self.root, self.of_each = Path(root).expanduser(), per_class

    @property
    def folder_names(self) -> list[str]:
        names = [name for name in folders(self.root / self.folder) if name != self.no_class]
        if len(names) != self.num_classes:
            raise UserError(f"{self.root / self.folder} has {len(names)} classes, wanted {self.num_classes}")
        return names

    @property
    def class_names(self) -> list[str]:  # type: ignore[override]
        """As their folders are called; known once they are there."""
        return self.folder_names

    def prepare_data(self) -> None:
        if not (self.root / self.folder).is_dir():
            expected = f"{self.folder} or {self.archive}"
            fetched(Wanted(self.source, [self.folder], {self.archive: self.md5}, expected), self.root)
        super().prepare_data()

    def load(self) -> tuple[Files, dict[str, Rows]]:
        names, targets = scan(self.root / self.folder, ".", [*self.folder_names], ignored=(self.no_class,))
        files = Files(self.root / self.folder, names, targets)
        random = np.random.RandomState(self.seed)
        train: list[Rows] = []
        test: list[Rows] = []
        for target, name in enumerate(self.folder_names):
            members = random.permutation(np.flatnonzero(files.targets == target))
            if len(members) <= self.of_each:
                raise UserError(
                    f"the class {name} has {len(members)} images: with data.per_class {self.of_each} none is left "
                    "to test"
                )
            train.append(members[: self.of_each])
            test.append(members[self.of_each :][: self.most_test])
        return files, {"train": np.sort(np.concatenate(train)), "test": np.sort(np.concatenate(test))}


class Caltech256(Caltech101):
    """256 classes of 80 to 827 photographs; the folder of clutter is none of them.

    ``per_class`` images of each class, drawn by ``seed``, train, and all others test.

    Args:
        root: folder that holds ``caltech256/256_ObjectCategories``, as torchvision lays it out; downloaded if absent.
        per_class: training images of each class: 15, 30, 45 or 60 in the paper.
        val_fraction: share of those that validates; with 0, as in the paper, the test images do.
    """

    source = datasets.Caltech256
    folder = "caltech256/256_ObjectCategories"
    archive = "caltech256/256_ObjectCategories.tar"
    md5 = "67b4f42ca05d46448c6bb8ecd2220f6d"
    no_class = "257.clutter"
    most_test = None
    num_classes = 256

    @property
    def class_names(self) -> list[str]:  # type: ignore[override]
        """The folders' names without their numbers."""
        return [name.partition(".")[2] for name in self.folder_names]
