"""Images for people to look at, as a network gets them: some of a data set, or files from anywhere."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from convkit.datasets.base import ImageData
from convkit.datasets.decode import Picture, Unreadable
from convkit.datasets.photographs import Photographs
from convkit.datasets.small_folder import SmallFolder
from convkit.datasets.subset import of_every_class
from convkit.errors import UserError

SPLITS = ("train", "val", "test")
COUNT = 16


class Chosen(NamedTuple):
    """N×C×H×W normalised images and their names; of a split also N labels, and their places in it."""

    pixels: Tensor
    names: list[str]
    labels: Tensor | None = None
    places: list[int] | None = None


def choose(
    data: ImageData,
    files: Sequence[str | Path] = (),
    split: str | None = None,
    count: int | None = None,
    seed: int | None = None,
) -> Chosen:
    """Files, or else ``count`` images of a split (16, ``val``), as evaluation sees them and spread over its classes.

    ``data`` has been set up. The same seed (0) gives the same images.

    Raises:
        UserError: files and a split are both given, or one of them is not there; as :func:`from_files`.
    """
    if files:
        if split or count is not None or seed is not None:
            raise UserError("--images names files; leave out --split, --count and --seed")
        paths = [Path(file).expanduser() for file in files]
        return Chosen(from_files(data, paths), [path.name for path in paths])
    split = split or "val"
    if split not in SPLITS:
        raise UserError(f"--split is one of {', '.join(SPLITS)}, not {split!r}")
    if count is not None and count < 1:
        raise UserError(f"--count is a number of images, not {count}")
    if seed is not None and not 0 <= seed < 2**32:
        raise UserError(f"--seed is a whole number from 0 to 2**32 - 1, not {seed}")
    labels = data.labels(split)
    places = of_every_class(labels.numpy(), count or COUNT, seed or 0)
    names = [f"{split} {place}" for place in places.tolist()]
    return Chosen(data.pick(split, places), names, labels[places], places.tolist())


def from_files(data: ImageData, paths: Sequence[Path]) -> Tensor:
    """N×C×H×W normalised: of photographs the part that evaluation sees; else images of exactly the network's size.

    Raises:
        UserError: a file is not there, is no image, or not of the size or colour that the network takes; names it.
    """
    mean, std = (torch.tensor(values)[:, None, None] for values in (data.mean, data.std))
    return torch.stack([(_pixels(data, path) / 255 - mean) / std for path in paths])


def _pixels(data: ImageData, path: Path) -> Tensor:
    """C×H×W uint8."""
    try:
        picture = Picture(np.fromfile(path, dtype=np.uint8))
        if isinstance(data, Photographs | SmallFolder):
            out = torch.empty(data.view.shape, dtype=torch.uint8)
            data.view(picture, np.empty(0), out)
            return out
        return _as_it_is(picture, path, data.image_shape)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
    except Unreadable as error:
        raise UserError(f"{path} cannot be read: {error}") from error


def _as_it_is(picture: Picture, path: Path, image_shape: tuple[int, int, int]) -> Tensor:
    channels, height, width = image_shape
    if (picture.height, picture.width) != (height, width):
        raise UserError(f"{path} is {picture.height}×{picture.width} pixels, and the network takes {height}×{width}")
    pixels, _ = picture.pixels()
    if channels not in (1, 3):
        raise UserError(f"{path} cannot be an image of {channels} channels; take images of the data set with --split")
    if channels == 1 and not bool((pixels == pixels[:1]).all()):
        raise UserError(f"{path} is in colour, and the network takes grey images")
    return pixels[:channels]
