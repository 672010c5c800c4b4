"""One image file as upright RGB bytes, decoded no larger than it is needed."""

import io
import warnings
from typing import Any

import numpy as np
import torch
import torchvision.io
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

_ORIENTATION = 0x0112  # EXIF's tag
_TRANSPOSED = (5, 6, 7, 8)  # its values with rows and columns exchanged
_SCALES = (8, 4, 2)  # what JPEG's cosine transform can be inverted to, as fractions of the size
# Deprecated since torchvision 0.29. Where it is gone, Pillow decodes: correct, and slower by a quarter.
_decode_jpeg = getattr(torchvision.io, "decode_jpeg", None)


class Unreadable(Exception):  # noqa: N818 - the message is the reason alone
    """A file that is no image, or a damaged one."""


class Picture:
    """An image file's content: ``height`` and ``width`` as it is looked at, and its ``pixels``.

    Any format that Pillow knows, whatever the name says; grey, palette, CMYK and 16-bit images become RGB of 8 bits,
    transparency is dropped, the first frame stands for an animation.

    Raises:
        Unreadable: it is no image; damage may show only when the pixels are asked for.
    """

    def __init__(self, content: NDArray[np.uint8]) -> None:
        self._content = content
        if not len(content):
            raise Unreadable("the file is empty")
        try:
            self._image: Image.Image = Image.open(io.BytesIO(content.data))
            self._jpeg = self._image.format in ("JPEG", "MPO")
            self._orientation = _orientation(self._image) if self._jpeg else 1
            if not self._jpeg:
                self._image = _upright(self._image)
        except Exception as error:  # strangers' files make decoders raise anything
            raise Unreadable(_reason(error)) from error
        self.width, self.height = self._image.size
        if self._orientation in _TRANSPOSED:
            self.height, self.width = self.width, self.height

    def pixels(self, shrink: float = 1) -> tuple[Tensor, int]:
        """3×h×w uint8, and of how many of the image's pixels, along each axis, one of them is made.

        That is 1, or of a JPEG also 2, 4 or 8, not more than ``shrink``; at the lower and right edge fewer may be left.

        A JPEG decoded at a fraction of its size costs less in Pillow than whole in torchvision, whose decoder is the
        faster one at full size (benchmarks/data.py).
        """
        try:
            if not self._jpeg:
                return _tensor(self._image), 1
            scale = next((scale for scale in _SCALES if scale <= shrink), 1)
            if _decode_jpeg and scale == 1 and self._image.mode in ("L", "RGB"):
                try:
                    pixels = _decode_jpeg(torch.from_numpy(self._content), mode=torchvision.io.ImageReadMode.RGB)
                    return _turned(pixels, self._orientation), 1
                except RuntimeError:
                    pass  # Pillow reads a few kinds more, and says better what is wrong with the others
            self._image.draft(None, (self._image.width // scale, self._image.height // scale))
            return _turned(_tensor(self._image), self._orientation), scale
        except Exception as error:  # as above
            raise Unreadable(_reason(error)) from error


def read_picture(path: bytes) -> Picture:
    """The picture in a file.

    Raises:
        Unreadable: it cannot be read, or is no image.
    """
    try:
        content = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise Unreadable((error.strerror or str(error)).lower()) from error
    return Picture(content)


def _orientation(image: Image.Image) -> int:
    if "exif" not in image.info:
        return 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            value = image.getexif().get(_ORIENTATION, 1)
        except Exception:  # the picture is none the worse for it
            return 1
    return value if value in range(1, 9) else 1


def _upright(image: Image.Image) -> Image.Image:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ImageOps.exif_transpose(image)


def _turned(pixels: Tensor, orientation: int) -> Tensor:
    """3×h×w pixels as they are looked at (EXIF 2.3, §4.6.4, Orientation)."""
    if orientation in _TRANSPOSED:
        pixels = pixels.transpose(1, 2)
    # After the transposition: which of the axes run backwards.
    flipped = {2: [2], 3: [1, 2], 4: [1], 6: [2], 7: [1, 2], 8: [1]}.get(orientation)
    return pixels.flip(flipped) if flipped else pixels


def _tensor(image: Image.Image) -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of transparency in palettes, which is dropped
        if image.mode == "F":
            raise Unreadable("its pixels are floating-point numbers of unknown range")
        if image.mode.startswith("I"):  # 16 bits, in Pillow's names also "I"; its own conversion would clip at 255
            wide: NDArray[Any] = np.asarray(image)
            grey = (wide.clip(0, 65535) / 257 + 0.5).astype(np.uint8)
            return torch.from_numpy(grey).expand(3, -1, -1)
        return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "it is not an image"
    return " ".join(str(error).split()) or type(error).__name__
