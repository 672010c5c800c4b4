"""Data sets of training and test images that fit into memory."""

from abc import abstractmethod

import torch
from torch import Tensor

from convkit.datasets.batches import Split
from convkit.datasets.resident import ResidentData
from convkit.datasets.subset import stratified, subset
from convkit.errors import UserError

_MOVED = 1024  # images at once


class InMemoryData(ResidentData):
    """Base of the in-memory data sets; a subclass sets the five attributes of ``ImageData`` and ``load``.

    ``indices`` are places among the images that ``load`` gave: the training images for ``"train"`` and ``"val"``, the
    test images for ``"test"``.
    """

    @abstractmethod
    def load(self) -> tuple[Split, Split]:
        """The training and the test images, as published. ``setup`` rearranges the training images in place."""

    def divide(self) -> tuple[dict[str, Split], dict[str, Tensor]]:
        train, test = self.load()
        for name, split in (("training", train), ("test", test)):
            if not len(split.images):
                raise UserError(f"{type(self).__name__} has no {name} images")
            if len(split.images) != len(split.targets):
                raise UserError(
                    f"{type(self).__name__} has {len(split.images)} {name} images, but {len(split.targets)} labels"
                )
        kept, held_out = self._choose(train)
        if train.images.untyped_storage().data_ptr() == test.images.untyped_storage().data_ptr():
            train = Split(train.images.clone(), train.targets.clone())  # the test images stay as they are
        val = train.take(held_out) if self.val_fraction else test
        every = torch.arange(len(test.images))
        indices = {"train": kept, "val": held_out if self.val_fraction else every, "test": every}
        return {"train": _compact(train, kept), "val": val, "test": test}, indices

    def _choose(self, train: Split) -> tuple[Tensor, Tensor]:
        """Places of the images to train on and of those held out, both ascending."""
        targets = train.targets.numpy()
        is_held_out = stratified(targets, self.val_fraction, self.seed)
        kept, held_out = (~is_held_out).nonzero()[:, 0], is_held_out.nonzero()[:, 0]
        for name, places in (("training", kept), ("validation", held_out)):
            if self.val_fraction and not len(places):
                raise UserError(f"data.val_fraction {self.val_fraction} leaves no {name} images")
        chosen = subset(
            targets[kept], self.class_names, fraction=self.fraction, per_class=self.per_class, seed=self.seed
        )
        return kept[chosen], held_out


def _compact(split: Split, kept: Tensor) -> Split:
    """The images at ``kept``, ascending places, moved to the front of the same memory, part by part."""
    if len(kept) == len(split.images):
        return split
    for part in split:
        start = 0
        for places in torch.split(kept, _MOVED):
            # What this overwrites lies before every place that is still to be read.
            part[start : start + len(places)] = part.index_select(0, places)
            start += len(places)
    return Split(split.images[: len(kept)], split.targets[: len(kept)])
