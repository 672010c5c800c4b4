"""Random changes of training images: vectorised over the batch, a draw of its own for every image."""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the field's own name

Random = np.random.RandomState
Draws = dict[str, Tensor]

# What an option may be: least, most, and what it is.
_RANGES = {
    "pad": (0, inf, "a number of pixels"),
    "cutout": (0, inf, "a number of pixels"),
    "translate": (0, 1, "a share of the side, from 0 to 1,"),
    "rotate": (0, 180, "an angle from 0 to 180 degrees"),
    "scale": (0, inf, "a share, at least 0,"),
    "brightness": (0, 1, "a share from 0 to 1"),
    "contrast": (0, 1, "a share from 0 to 1"),
}

# Each draw: the option that asks for it, and N draws from it. Their order is part of what a seed stands for.
_DRAWS: dict[str, tuple[str, Callable[[Random, int, Any], NDArray[Any]]]] = {
    "corner": ("pad", lambda random, count, pad: random.randint(0, 2 * pad + 1, size=(count, 2))),
    "flip": ("flip", lambda random, count, _: random.randint(0, 2, size=count).astype(bool)),
    "shift": ("translate", lambda random, count, share: random.uniform(-share, share, size=(count, 2))),
    "angle": ("rotate", lambda random, count, degrees: random.uniform(-degrees, degrees, size=count)),
    "zoom": ("scale", lambda random, count, share: (1 + share) ** random.uniform(-1, 1, size=count)),
    "brightness": ("brightness", lambda random, count, share: random.uniform(1 - share, 1 + share, size=count)),
    "contrast": ("contrast", lambda random, count, share: random.uniform(1 - share, 1 + share, size=count)),
    "hole": ("cutout", lambda random, count, _: random.random_sample((count, 2))),
}
_AFFINE = ("shift", "angle", "zoom")
_GREY = (0.2989, 0.587, 0.114)  # of red, green and blue in luminance (ITU-R BT.601), as torchvision has it


@dataclass(frozen=True)
class Augment:
    """What may happen to a training image; every image has draws of its own, and what is left free becomes black.

    Args:
        pad: pixels added on every side before a crop of the old size at a random place (4 in He et al. 2016).
        flip: mirror left and right with probability one half.
        cutout: side in pixels of a square that becomes the mean colour; its middle may be anywhere, so that the square
            may lie partly outside (DeVries & Taylor 2017).
        translate: largest shift along each axis, as a share of the side; by parts of a pixel too.
        rotate: largest angle in degrees, either way.
        scale: 0.2 enlarges or shrinks by a factor of up to 1.2, either as often.
        brightness: 0.2 multiplies the values by 0.8 to 1.2.
        contrast: 0.2 multiplies what they differ from the image's mean grey by 0.8 to 1.2.
    """

    pad: int = 0
    flip: bool = False
    cutout: int = 0
    translate: float = 0.0
    rotate: float = 0.0
    scale: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0

    def __post_init__(self) -> None:
        for name, (least, most, what) in _RANGES.items():
            if not least <= getattr(self, name) <= most:
                raise ValueError(f"augment.{name} is {what} and cannot be {getattr(self, name)}")

    def draw(self, random: Random, count: int) -> Draws:
        """The draws for ``count`` images; drawn for a whole batch, then divided among ranks."""
        return {
            name: torch.from_numpy(rule(random, count, option))
            for name, (asked, rule) in _DRAWS.items()
            if (option := getattr(self, asked))
        }

    def apply(self, images: Tensor, draws: Draws) -> Tensor:
        """N×C×H×W images of values from 0 to 255, changed as drawn; on their device.

        Crops and mirrored images keep their dtype; what interpolates or scales values makes them float32. The hole
        of ``cutout`` comes after normalisation, in :meth:`cut`.
        """
        if any(name in draws for name in _AFFINE):
            images = affine(images.to(torch.float32), draws, self.pad)
        else:
            if "corner" in draws:
                images = crop(images, draws["corner"], self.pad)
            if "flip" in draws:
                images = mirror(images, draws["flip"])
        if "brightness" in draws:
            images = brighten(images.to(torch.float32), draws["brightness"])
        if "contrast" in draws:
            images = change_contrast(images.to(torch.float32), draws["contrast"])
        return images

    def cut(self, images: Tensor, draws: Draws) -> Tensor:
        """Normalised N×C×H×W images with the hole of ``cutout``, in place: 0 is the mean colour."""
        return cut_hole(images, draws["hole"], self.cutout) if "hole" in draws else images


def crop(images: Tensor, corner: Tensor, pad: int) -> Tensor:
    """Each image padded with ``pad`` black pixels and cut to its old size at ``corner``, N×2 row and column."""
    if images.device.type != "cpu":
        return crop_by_index(images, corner, pad)
    count, channels, height, width = images.shape
    # On a processor, a block of memory for each channel of each image: from the crop's first pixel over whole rows
    # of the padded image. Its left part is the crop. Seven times faster than the index above.
    tall, wide = height + 2 * pad, width + 2 * pad
    plane, block = tall * wide, height * wide
    padded = images.new_zeros(count * channels * plane + wide)  # the last block ends in what is no image's
    padded[: count * channels * plane].view(count, channels, tall, wide)[..., pad : pad + height, pad : pad + width] = (
        images
    )
    memory = padded.numpy()
    blocks = np.lib.stride_tricks.as_strided(memory, (memory.size - block + 1, block), memory.strides * 2)
    first = np.arange(0, count * channels * plane, plane).reshape(count, channels)
    first = first + (corner.numpy() @ [wide, 1])[:, None]
    return torch.from_numpy(blocks[first.ravel()]).view(count, channels, height, wide)[..., :width]


def mirror(images: Tensor, flip: Tensor) -> Tensor:
    """The images that ``flip``, N booleans, says, left and right exchanged."""
    if images.device.type != "cpu":
        return mirror_by_mask(images, flip)
    chosen = flip.nonzero()[:, 0]
    return images.index_copy(0, chosen, images.index_select(0, chosen).flip(-1))


def crop_by_index(images: Tensor, corner: Tensor, pad: int) -> Tensor:
    """:func:`crop`, every possible one as a view and an index that copies one for each image: fast on a GPU."""
    rows, columns = corner.to(images.device, non_blocking=True).unbind(1)
    windows = F.pad(images, (pad,) * 4).unfold(2, images.shape[2], 1).unfold(3, images.shape[3], 1)
    return windows[torch.arange(len(images), device=images.device), :, rows, columns]


def mirror_by_mask(images: Tensor, flip: Tensor) -> Tensor:
    """:func:`mirror`, computed for all images and chosen: fast on a GPU."""
    return torch.where(flip.to(images.device, non_blocking=True)[:, None, None, None], images.flip(-1), images)


def affine(images: Tensor, draws: Draws, pad: int = 0) -> Tensor:
    """Rotation and scaling about the middle, shift, crop and mirror in one bilinear sampling; outside is black."""
    count, _, height, width = images.shape
    device = images.device
    angle, zoom, shift, corner, flip = (
        draws[name].to(device, torch.float32, non_blocking=True) if name in draws else None
        for name in ("angle", "zoom", "shift", "corner", "flip")
    )
    radians = torch.deg2rad(torch.zeros(count, device=device) if angle is None else angle)
    cosine, sine = radians.cos(), radians.sin()
    if zoom is not None:
        cosine, sine = cosine / zoom, sine / zoom
    # From a place in the result to the one in the image that it shows, in pixels from the middle.
    across = torch.stack([cosine, sine], 1)
    down = torch.stack([-sine, cosine], 1)
    move = torch.zeros(count, 2, device=device)
    if shift is not None:
        rows, columns = shift[:, 0] * height, shift[:, 1] * width
        move -= torch.stack([cosine * columns + sine * rows, cosine * rows - sine * columns], 1)
    if corner is not None:
        move += corner.flip(1) - pad
    if flip is not None:
        mirrored = 1 - 2 * flip
        across, down = (torch.stack([row[:, 0] * mirrored, row[:, 1]], 1) for row in (across, down))
    # grid_sample measures from -1 to 1 along each side.
    sides = across.new_tensor([width, height])
    matrix = torch.stack([across * sides / width, down * sides / height], 1)
    theta = torch.cat([matrix, (2 * move / sides)[..., None]], 2)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def brighten(images: Tensor, factor: Tensor) -> Tensor:
    """Float values from 0 to 255 times each image's factor."""
    return (images * _each(factor, images)).clamp_(0, 255)


def change_contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Float values from 0 to 255, their differences from the image's mean grey times its factor."""
    channels = images.shape[1]
    weights = images.new_tensor(_GREY if channels == 3 else [1 / channels] * channels)
    grey = (images.mean((2, 3)) @ weights)[:, None, None, None]
    return torch.lerp(grey, images, _each(factor, images)).clamp_(0, 255)


def cut_hole(images: Tensor, middle: Tensor, side: int) -> Tensor:
    """A square of ``side`` pixels around ``middle``, N×2 shares of height and width, becomes 0; in place."""
    inside = []
    for axis, length in enumerate(images.shape[2:]):
        first = (middle[:, axis] * length).floor().to(torch.int64) - side // 2
        first = first.to(images.device, non_blocking=True)[:, None]
        places = torch.arange(length, device=images.device)
        inside.append((places >= first) & (places < first + side))
    rows, columns = inside
    return images.masked_fill_((rows[:, :, None] & columns[:, None, :])[:, None], 0)


def _each(factor: Tensor, images: Tensor) -> Tensor:
    return factor.to(images.device, images.dtype, non_blocking=True)[:, None, None, None]
