"""Each clause of the contract tells the plugin that breaks it, in a sentence with what to do; a whole one passes."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from telling import assert_told
from torch import Tensor

from convkit.datasets.augment import Augment
from convkit.datasets.batches import Split
from convkit.datasets.in_memory import InMemoryData
from convkit.testing import dataset

Shape = tuple[int, int, int]


class Batches:
    """A loader that nobody divides: Lightning takes a list for several loaders."""

    def __init__(self, images: Tensor, targets: Tensor, size: int) -> None:
        self.batches = list(zip(images.split(size), targets.split(size), strict=True))

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return iter(self.batches)


class Few(InMemoryData):
    """Keeps the contract."""

    num_classes, image_shape, class_names = 3, (1, 4, 4), ["a", "b", "c"]
    mean, std = (0.5,), (0.25,)

    def __init__(self, **options: Any) -> None:
        super().__init__(batch_size=4, val_fraction=0.2, augment=Augment(), **options)

    def load(self) -> tuple[Split, Split]:
        draw = torch.Generator().manual_seed(0)
        targets = torch.arange(30) % 3
        whole = Split(torch.randint(0, 256, (30, 1, 4, 4), generator=draw).byte(), targets)
        return whole, whole.take(torch.arange(9))


class Bytes(Few):
    mean, std = (127.0,), (60.0,)


class Names(Few):
    class_names = ["a", "b"]


class Twins(Few):
    class_names = ["a", "b", "b"]


class Late(Few):
    def __init__(self) -> None:
        super().__init__()
        self.image_shape = (1, 8, 8)

    def setup(self, stage: str | None = None) -> None:
        super().setup(stage or "fit")
        self.image_shape = (1, 4, 4)


class Wrong(Few):
    def load(self) -> tuple[Split, Split]:
        train, test = super().load()
        return Split(train.images, train.targets + 1), test


class Misplaced(Few):
    def labels(self, split: str) -> Tensor:
        return super().labels(split).flip(0)


class Unlabelled(Few):
    def labels(self, split: str) -> Tensor:
        return super().labels(split) * (split != "train")


class Mispicked(Few):
    def pick(self, split: str, positions: Tensor) -> Tensor:
        return super().pick(split, positions).flip(0)


class Generous(Few):
    def sample(self, split: str, count: int) -> tuple[Tensor, Tensor]:
        return super().sample(split, count + 1)


class Drawing(Few):
    """Another order of the test images at every reading."""

    readings = 0

    def test_dataloader(self) -> Any:
        self.readings += 1
        return [*super().test_dataloader()][:: (-1) ** self.readings]


class Lucky(Few):
    def train_dataloader(self) -> Any:
        return [(images + torch.rand(()), targets) for images, targets in super().train_dataloader()]


class Opened(Few):
    def __init__(self) -> None:
        super().__init__()
        self.file = (number for number in range(3))


class Undivided(Few):
    """The same images on every rank."""

    def test_dataloader(self) -> Any:
        return Batches(torch.arange(96.0).view(6, 1, 4, 4) / 96, torch.arange(6) % 3, 2)


class Everything(Few):
    """Of training all on every rank."""

    def train_dataloader(self) -> Any:
        train = self.splits["train"]
        return Batches((train.images.float() / 255 - 0.5) / 0.25, train.targets, 8)


BROKEN: list[tuple[Any, str, str]] = [
    (Split, "target", "Split is no ImageData"),
    (Late, "knows", "image_shape is another after setup"),
    (Names, "knows", "has 2 class_names and num_classes 3"),
    (Twins, "knows", "two class_names are the same"),
    (Bytes, "knows", "give them of pixels from 0 to 1, not of bytes"),
    (Wrong, "batches", "count the classes from 0"),
    (Drawing, "evaluation", "test images differ the second time"),
    (Misplaced, "labels", "labels('val') are not those of its batches"),
    (Unlabelled, "labels", "labels('train') are not those of its batches"),
    (Mispicked, "picks", "pick('val', …) gives other images"),
    (Generous, "picks", "sample('train', 3) gives 4 images"),
    (Lucky, "seed", "training differs under the same seed"),
    (Opened, "pickling", "cannot be pickled"),
]
WHOLE = [Few]


@pytest.mark.parametrize(("target", "clause", "line"), BROKEN)
def test_a_broken_one_is_told(target: Any, clause: str, line: str) -> None:
    assert_told(dataset.examine(target, ranks=1), clause, line)


@pytest.mark.parametrize("target", WHOLE)
def test_a_whole_one_passes(target: Any) -> None:
    assert [outcome for outcome in dataset.examine(target, ranks=1) if outcome.held is not True] == []


def test_every_clause_has_one_that_breaks_it() -> None:
    # A thing of another type is told by its annotation, before it is built.
    assert {clause.name for clause in dataset.CLAUSES} - {clause for _, clause, _ in BROKEN} == {"sets up"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "line"),
    [(Few, ""), (Undivided, "2 ranks read 6 test images more than once"), (Everything, "train images more than once")],
)
def test_on_two_ranks(target: Any, line: str) -> None:
    [outcome] = [outcome for outcome in dataset.examine(target, ranks=2) if outcome.clause == "two ranks"]
    assert outcome.held is (not line)
    assert line in outcome.said
