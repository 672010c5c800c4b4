"""Image files from anywhere as a data set would show them to a network."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from convkit.datasets.base import ImageData, first
from convkit.datasets.decode import Picture, Unreadable
from convkit.datasets.photographs import Photographs
from convkit.datasets.small_folder import SmallFolder
from convkit.errors import UserError


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


def first_images(data: ImageData, split: str, count: int) -> tuple[Tensor, Tensor]:
    """The first images that the loader of ``"train"``, ``"val"`` or ``"test"`` gives, normalised, and their classes."""
    return first(getattr(data, f"{split}_dataloader")(), count)
