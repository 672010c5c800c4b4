"""The contract of a data set: ``factory(**options) -> ImageData``."""

import pickle
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from convkit.datasets.base import ImageData
from convkit.errors import UserError
from convkit.testing.contract import Clause, Failure, LeftOut, Outcome, check_target, demand, enforce, judge, told
from convkit.testing.sharding import SPLITS, divided

LARGEST = 100.0  # a normalised pixel is far below, a raw byte may be above


@dataclass
class Data:
    """What is checked, and the data set that most clauses look at."""

    factory: Any
    options: Mapping[str, Any]
    ranks: int = 2

    def build(self) -> ImageData:
        try:
            made: ImageData = self.factory(**self.options)
            if isinstance(made, ImageData):
                made.prepare_data()
                made.setup("fit")
                made.setup("test")
        except UserError as error:
            raise LeftOut(f"its data cannot be had here: {error}") from error
        return made

    @cached_property
    def data(self) -> ImageData:
        return self.build()

    def epoch(self, data: ImageData, split: str) -> list[tuple[Tensor, Tensor]]:
        return [(images.clone(), targets.clone()) for images, targets in getattr(data, f"{split}_dataloader")()]


def examine(factory: Any, ranks: int = 2, options: Mapping[str, Any] | None = None) -> list[Outcome]:
    """What each clause of the contract found."""
    subject = Data(factory, options or {}, ranks)
    with torch.random.fork_rng(devices=[]):
        return judge([*CLAUSES, Clause("two ranks", two_ranks)] if ranks > 1 else CLAUSES, subject)


def check_dataset(factory: Any, *, ranks: int = 2, **options: Any) -> None:
    """The contract of a data set. Whole epochs are read: give few images.

    Args:
        factory: what the entry point names: an ``ImageData`` class, or a function that is annotated to return one.
        ranks: processes of the last clause, which takes seconds; 1 leaves it out.
        options: the data set's own, such as where a small one of the test's lies.

    Raises:
        ContractError: a line for each clause that does not hold, or could not be judged as the data is not there.
    """
    enforce(examine(factory, ranks, options))


def target(subject: Data) -> None:
    """A class below ``ImageData``, or a function annotated to return one; every option with a type."""
    check_target(subject.factory, ImageData)


def sets_up(subject: Data) -> None:
    """It makes an ``ImageData``, whose data is there."""
    made = subject.data
    demand(isinstance(made, ImageData), f"makes a {type(made).__name__}; return a convkit.ImageData")


def knows(subject: Data) -> None:
    """``num_classes`` and ``image_shape``, before ``setup`` too; ``class_names``; ``mean`` and ``std`` by channel, of
    pixels from 0 to 1."""
    data, new = subject.data, subject.factory(**subject.options)
    for name in ("num_classes", "image_shape"):
        demand(
            hasattr(new, name), f"does not know {name} before setup; set it in the constructor, the network needs it"
        )
        same = getattr(new, name) == getattr(data, name)
        demand(same, f"{name} is another after setup; know it in the constructor")
    for name in ("class_names", "mean", "std"):
        demand(hasattr(data, name), f"does not know {name} after setup; set it there or in the constructor")
    count = len(data.class_names)
    demand(count == data.num_classes, f"has {count} class_names and num_classes {data.num_classes}; give one for each")
    demand(len({*data.class_names}) == count, "two class_names are the same; give each class its own")
    for name in ("mean", "std"):
        values = getattr(data, name)
        wanted = data.image_shape[0]
        demand(len(values) == wanted, f"{name} has {len(values)} values for {wanted} channels; give one for each")
    demand(all(value > 0 for value in data.std), "a std is not above 0; images are divided by it")
    inside = all(0 <= value <= 1 for value in (*data.mean, *data.std))
    demand(inside, f"mean is {[*data.mean]} and std {[*data.std]}; give them of pixels from 0 to 1, not of bytes")


def batches(subject: Data) -> None:
    """Every split yields N×C×H×W finite floats of ``image_shape``, and N class indices below ``num_classes``."""
    shape, count = tuple(subject.data.image_shape), subject.data.num_classes
    for split in SPLITS:
        seen = subject.epoch(subject.data, split)
        demand(bool(seen), f"{split} has no batch; give at least one image")
        for images, targets in seen:
            images = images if images.ndim == 4 else images[:, 0]  # several crops of each
            own = tuple(images.shape[1:])
            demand(own == shape, f"a {split} batch has images of {own}, and image_shape is {shape}; give one size")
            demand(images.is_floating_point(), f"{split} images are {images.dtype}; normalise them to floats")
            demand(bool(images.isfinite().all()), f"{split} images are not finite; look at mean and std")
            most = float(images.abs().max())
            demand(most < LARGEST, f"{split} images reach {most:.0f}; normalise pixels from 0 to 1, not bytes")
            whole = targets.shape == (len(images),) and not targets.is_floating_point()
            demand(whole, f"{split} targets are {targets.dtype} of {tuple(targets.shape)}; give N class indices")
            inside = bool(((targets >= 0) & (targets < count)).all())
            demand(inside, f"a {split} target is not among 0 to {count - 1}; count the classes from 0")


def evaluation(subject: Data) -> None:
    """Validation and test give the same images in the same order every time."""
    for split in ("val", "test"):
        once, again = (subject.epoch(subject.data, split) for _ in range(2))
        same = len(once) == len(again) and all(torch.equal(a[0], b[0]) for a, b in zip(once, again, strict=True))
        demand(same, f"{split} images differ the second time; draw nothing at random in evaluation")


def labels(subject: Data) -> None:
    """``labels(split)`` are those of the split's batches; of ``train``, in any order."""
    for split in SPLITS:
        told = subject.data.labels(split)
        seen = torch.cat([targets for _, targets in subject.epoch(subject.data, split)])
        if split == "train":
            told, seen = told.sort().values, seen.sort().values
            spare = Counter(told.tolist()) - Counter(seen.tolist())
            if 0 < len(told) - len(seen) == spare.total() < (getattr(subject.data, "batch_size", 1) or 1):
                continue  # a last batch that is not whole is dropped
        demand(torch.equal(told, seen), f"labels({split!r}) are not those of its batches; keep them in one order")


def picks(subject: Data) -> None:
    """``pick(split, positions)`` gives these images as evaluation sees them; ``sample`` up to so many, with classes."""
    images = torch.cat([images for images, _ in subject.epoch(subject.data, "val")])
    positions = torch.tensor([len(images) - 1, 0])
    same = torch.equal(subject.data.pick("val", positions), images[positions])
    demand(same, "pick('val', …) gives other images than the loader; let positions count in the loader's order")
    images, targets = subject.data.sample("train", 3)
    good = 0 < len(images) == len(targets) <= 3
    demand(good, f"sample('train', 3) gives {len(images)} images and {len(targets)} classes; give up to 3 of each")


def pickling(subject: Data) -> None:
    """It can be pickled before ``setup``, as another process gets it."""
    try:
        again = pickle.loads(pickle.dumps(subject.factory(**subject.options)))
    except Exception as error:
        way = "open files and keep lambdas in setup, not in the constructor"
        raise Failure(f"cannot be pickled: {told(error)}; {way}") from error
    same = tuple(again.image_shape) == tuple(subject.data.image_shape)
    demand(same, "has another image_shape once pickled; keep what it knows in attributes")


def seed(subject: Data) -> None:
    """Made twice with the same options it gives the same training batches: order and what is drawn."""
    one, other = (self.epoch(self.build(), "train") for self in (subject, subject))
    same = len(one) == len(other) and all(
        torch.equal(a, c) and torch.equal(b, d) for (a, b), (c, d) in zip(one, other, strict=True)
    )
    demand(same, "training differs under the same seed; draw from (seed, epoch, image), not from a global generator")


def two_ranks(subject: Data) -> None:
    """On two processes every image is read once: none by several ranks but for at most one that makes them equal, none
    left out but for a last training batch that is not whole."""
    divided(subject.factory, subject.options, subject.ranks)


CLAUSES: list[Clause[Data]] = [
    Clause("target", target, essential=True),
    Clause("sets up", sets_up, essential=True),
    Clause("knows", knows, essential=True),
    Clause("batches", batches, essential=True),
    Clause("evaluation", evaluation),
    Clause("labels", labels),
    Clause("picks", picks),
    Clause("seed", seed),
    Clause("pickling", pickling),
]
