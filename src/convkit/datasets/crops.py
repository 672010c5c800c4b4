"""The part of a picture that the network gets: random in training, the centre or ten parts of it in evaluation."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the field's own name

_ATTEMPTS = 10
_LONGEST = 4  # times the shorter side: what is farther from the centre than that no crop reaches

Box = tuple[int, int, int, int]  # top, left, height, width


class Pixels(Protocol):
    """What is cropped: a file's picture, or one from the cache."""

    height: int
    width: int

    def pixels(self, shrink: float = 1) -> tuple[Tensor, int]:
        """3×h×w uint8, and how many of the image's pixels make one of them along each axis: up to ``shrink``."""
        ...


class View(Protocol):
    """A way to look at a picture: writes uint8 of its ``shape`` into ``out``."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    draws: int  # how many random numbers an image takes

    def __call__(self, picture: Pixels, draws: NDArray[np.float64], out: Tensor) -> None: ...


def resized(pixels: Tensor, height: int, width: int) -> Tensor:
    """3×h×w uint8 to 3×height×width: bilinear, with the low-pass filter that makes smaller ones look right."""
    if pixels.shape[1:] == (height, width):
        return pixels
    return F.interpolate(pixels[None], (height, width), mode="bilinear", antialias=True)[0]


def shrunk(picture: Pixels, side: int) -> Tensor:
    """The picture with its shorter side ``side``, where it is larger; its own pixels where it is not."""
    shorter = min(picture.height, picture.width)
    pixels, _ = picture.pixels(shorter / side)
    return resized(pixels, *_scaled(picture, side)) if shorter > side else pixels


def _scaled(picture: Pixels, side: int) -> tuple[int, int]:
    """Height and width where the shorter one is ``side``; the other is cut off below the point, as by torchvision."""
    height, width = picture.height, picture.width
    return (side, side * width // height) if height <= width else (side * height // width, side)


@dataclass(frozen=True)
class RandomResizedCrop:
    """A random part of the image, enlarged or reduced to the network's size, mirrored or not (Szegedy et al. 2015, §6).

    Args:
        size: side of the crop that the network gets, in pixels.
        scale: least and greatest share of the image's area.
        ratio: least and greatest ratio of width to height, drawn on a logarithmic scale.
        flip: mirror left and right with probability one half.
    """

    size: int
    scale: Sequence[float] = (0.08, 1.0)
    ratio: Sequence[float] = (3 / 4, 4 / 3)
    flip: bool = True
    draws = 4 * _ATTEMPTS + 1

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"data.size is a number of pixels and cannot be {self.size}")
        for name, (least, greatest), most in (("scale", self.scale, 1.0), ("ratio", self.ratio, math.inf)):
            if not 0 < least <= greatest <= most:
                raise ValueError(f"data.{name} is a least and a greatest value above 0, not {least} and {greatest}")

    @property
    def shape(self) -> tuple[int, ...]:
        return 3, self.size, self.size

    def box(self, height: int, width: int, draws: NDArray[np.float64]) -> Box:
        """The part; after ten that would not fit, the greatest in the middle whose ratio is allowed."""
        log_least, log_greatest = (math.log(value) for value in self.ratio)
        for u_area, u_ratio, u_top, u_left in draws[:-1].reshape(_ATTEMPTS, 4).tolist():
            area = height * width * (self.scale[0] + u_area * (self.scale[1] - self.scale[0]))
            ratio = math.exp(log_least + u_ratio * (log_greatest - log_least))
            w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < w <= width and 0 < h <= height:
                return int(u_top * (height - h + 1)), int(u_left * (width - w + 1)), h, w
        w = min(width, max(1, round(height * self.ratio[1])))
        h = min(height, max(1, round(width / self.ratio[0])))
        return (height - h) // 2, (width - w) // 2, h, w

    def __call__(self, picture: Pixels, draws: NDArray[np.float64], out: Tensor) -> None:
        top, left, height, width = self.box(picture.height, picture.width, draws)
        pixels, scale = picture.pixels(min(height, width) / self.size)
        top, left, height, width = (round(edge / scale) for edge in (top, left, height, width))
        crop = resized(pixels[:, top : top + height, left : left + width], self.size, self.size)
        out.copy_(crop.flip(-1) if self.flip and draws[-1] < 0.5 else crop)


@dataclass(frozen=True)
class CentreCrop:
    """The shorter side to ``resize`` pixels, then the square of ``size`` in the middle."""

    size: int
    resize: int
    draws = 0

    @property
    def shape(self) -> tuple[int, ...]:
        return 3, self.size, self.size

    def __call__(self, picture: Pixels, draws: NDArray[np.float64], out: Tensor) -> None:
        out.copy_(_middle(_whole(picture, self.resize), self.size))


@dataclass(frozen=True)
class TenCrops:
    """Centre and corners of the middle ``resize``×``resize`` square, and their mirror images.

    The test of AlexNet (Krizhevsky et al. 2012, §2 and §4.1). The order is centre, the four corners, then the same
    mirrored: the first is :class:`CentreCrop`'s.
    """

    size: int
    resize: int
    draws = 0

    @property
    def shape(self) -> tuple[int, ...]:
        return 10, 3, self.size, self.size

    def __call__(self, picture: Pixels, draws: NDArray[np.float64], out: Tensor) -> None:
        whole = _whole(picture, self.resize)
        square, size, far = _middle(whole, self.resize), self.size, self.resize - self.size
        crops = [_middle(whole, size)]
        crops += [square[:, top : top + size, left : left + size] for top in (0, far) for left in (0, far)]
        for index, crop in enumerate(crops):
            out[index].copy_(crop)
            out[index + 5].copy_(crop.flip(-1))


def _whole(picture: Pixels, side: int) -> Tensor:
    """The picture, its shorter side ``side`` pixels, larger or smaller than before."""
    height, width = picture.height, picture.width
    pixels, _ = picture.pixels(min(height, width) / side)
    if max(height, width) > _LONGEST * min(height, width):
        # A strip of 10×5000 would be enlarged to half a gigabyte.
        pixels = _middle(pixels, _LONGEST * min(pixels.shape[1:]))
        return resized(pixels, *(side * (_LONGEST if edge > min(height, width) else 1) for edge in (height, width)))
    return resized(pixels, *_scaled(picture, side))


def _middle(pixels: Tensor, side: int) -> Tensor:
    """The ``side``×``side`` square in the middle, or less where the picture is smaller."""
    top, left = (round(max(0, edge - side) / 2) for edge in pixels.shape[1:])
    return pixels[:, top : top + side, left : left + side]
