"""Parts of a data set, drawn from each class by seed: what is held out, small sets to learn from or to look at."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convkit.errors import UserError


def check_subset(fraction: float, per_class: int | None) -> None:
    """Raises ValueError where ``data.fraction`` or ``data.per_class`` cannot be."""
    if not 0 < fraction <= 1:
        raise ValueError(f"data.fraction is a share above 0 and up to 1, not {fraction}")
    if per_class is not None and per_class < 1:
        raise ValueError(f"data.per_class is a number of images, at least 1, not {per_class}")
    if per_class is not None and fraction != 1:
        raise ValueError(f"data.fraction {fraction} and data.per_class {per_class} both say how many; use one")


def subset(
    targets: NDArray[np.int64],
    class_names: list[str],
    *,
    fraction: float = 1.0,
    per_class: int | None = None,
    seed: int,
) -> Tensor:
    """The places of the images of a smaller training set, ascending: ``per_class`` or a ``fraction`` of each class.

    A fraction leaves at least one image of every class. By one seed a smaller set is part of every larger one, and
    what one class contributes does not depend on the others.

    Args:
        targets: N class indices.

    Raises:
        UserError: a class has fewer than ``per_class`` images.
    """
    if per_class is None and fraction == 1:
        return torch.arange(len(targets))
    kept = []
    for target in range(len(class_names)):
        members = np.flatnonzero(targets == target)
        wanted = max(1, round(fraction * len(members))) if per_class is None else per_class
        if per_class is not None and len(members) < wanted:
            raise UserError(
                f"data.per_class {per_class}: class {class_names[target]!r} has {len(members)} training images"
            )
        kept.append(np.random.RandomState([seed, target]).permutation(members)[:wanted])
    return torch.from_numpy(np.sort(np.concatenate(kept)))


def of_every_class(targets: NDArray[np.int64], count: int, seed: int) -> Tensor:
    """The places of ``count`` of N images, by class: of each as many as of any other within one, while there are any.

    Where there are more classes than images, which ones depends on the seed. By one seed a smaller sample is part of
    every larger one.
    """
    random = np.random.RandomState(seed)
    mixed = random.permutation(len(targets))
    of_class = mixed[np.argsort(targets[mixed], kind="stable")]
    known, starts, counts = np.unique(targets[of_class], return_index=True, return_counts=True)
    turn = np.arange(len(of_class)) - np.repeat(starts, counts)  # which image of its class it is
    order = np.repeat(random.permutation(len(known)), counts)
    chosen = of_class[np.lexsort((order, turn))[:count]]
    return torch.from_numpy(chosen[np.lexsort((chosen, targets[chosen]))])


def stratified(targets: NDArray[np.int64], fraction: float, seed: int) -> Tensor:
    """Which of N images are held out, as N booleans: ``fraction`` of each class to the nearest image, by ``seed``."""
    random = np.random.RandomState(seed)
    held_out = np.zeros(len(targets), dtype=bool)
    for target in np.unique(targets):
        members = random.permutation(np.flatnonzero(targets == target))
        held_out[members[: round(fraction * len(members))]] = True
    return torch.from_numpy(held_out)
