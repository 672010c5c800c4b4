"""Files of every kind come out as Pillow has them; damaged ones say why."""

import io
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms, ImageOps
from torch import Tensor

from convkit.datasets.decode import Picture, Unreadable, read_picture


def photograph(width: int = 120, height: int = 80) -> Image.Image:
    """Smooth, so that compression changes little: colours along both axes."""
    rows, columns = np.mgrid[0:height, 0:width]
    values = np.stack([255 * columns / width, 255 * rows / height, 127 + 100 * np.sin(columns / 9)], -1)
    return Image.fromarray(values.astype(np.uint8))


def encoded(image: Image.Image, kind: str = "JPEG", **options: Any) -> np.ndarray[Any, np.dtype[np.uint8]]:
    file = io.BytesIO()
    image.save(file, kind, **({"quality": 95} if kind == "JPEG" else {}), **options)
    return np.frombuffer(file.getvalue(), dtype=np.uint8).copy()


def pillows(content: np.ndarray[Any, np.dtype[np.uint8]]) -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of transparency in a palette
        image = ImageOps.exif_transpose(Image.open(io.BytesIO(content.tobytes()))).convert("RGB")
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def apart(some: Tensor, others: Tensor) -> float:
    assert some.dtype == torch.uint8
    assert some.shape == others.shape
    return (some.int() - others.int()).abs().max().item()


KINDS = {
    "JPEG": encoded(photograph()),
    "progressive": encoded(photograph(), progressive=True),
    "grey JPEG": encoded(photograph().convert("L")),
    "CMYK JPEG": encoded(photograph().convert("CMYK")),
    "PNG": encoded(photograph(), "PNG"),
    "grey PNG": encoded(photograph().convert("L"), "PNG"),
    "bilevel PNG": encoded(photograph().convert("1"), "PNG"),
    "transparent PNG": encoded(photograph().convert("RGBA"), "PNG"),
    "grey transparent PNG": encoded(photograph().convert("LA"), "PNG"),
    "palette PNG": encoded(photograph().quantize(32), "PNG"),
    "palette with transparency": encoded(photograph().quantize(32), "PNG", transparency=b"\0\x80\xff"),
    "GIF": encoded(photograph(), "GIF"),
    "animated GIF": encoded(photograph(), "GIF", save_all=True, append_images=[Image.new("RGB", (120, 80))]),
    "WebP": encoded(photograph(), "WEBP"),
    "BMP": encoded(photograph(), "BMP"),
    "TIFF": encoded(photograph(), "TIFF"),
    "photo of two": encoded(photograph(), "MPO", save_all=True, append_images=[photograph()]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_what_pillow_makes_of_it(kind: str) -> None:
    picture = Picture(KINDS[kind])
    assert (picture.height, picture.width) == (80, 120)
    assert apart(picture.pixels()[0], pillows(KINDS[kind])) <= 3  # two JPEG decoders may round differently


def test_pillow_decodes_where_torchvision_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convkit.datasets.decode._decode_jpeg", None)
    assert apart(Picture(KINDS["JPEG"]).pixels()[0], pillows(KINDS["JPEG"])) == 0


def test_16_bits_become_8() -> None:
    wide = (np.arange(80 * 120).reshape(80, 120) * 6).astype(np.uint16)
    pixels = Picture(encoded(Image.fromarray(wide), "PNG")).pixels()[0]
    assert apart(pixels, torch.from_numpy((wide / 257).round().astype(np.uint8)).expand(3, -1, -1)) == 0


def test_floating_point_pixels_are_refused() -> None:
    with pytest.raises(Unreadable, match="floating-point"):
        Picture(encoded(Image.fromarray(np.zeros((4, 4), np.float32)), "TIFF")).pixels()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("shrink", [1, 2])
def test_orientation(orientation: int, shrink: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(photograph(), exif=exif)
    picture, expected = Picture(content), pillows(content)
    assert (picture.height, picture.width) == expected.shape[1:]
    if shrink == 1:
        assert apart(picture.pixels()[0], expected) <= 3
    else:
        # Each pixel is about the mean of four.
        expected = torch.nn.functional.avg_pool2d(expected.float(), 2).byte()
        assert apart(picture.pixels(2)[0], expected) <= 12


def test_a_profile_and_broken_exif_do_no_harm() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    content = encoded(photograph(), icc_profile=profile, exif=b"Exif\0\0no such thing")
    assert apart(Picture(content).pixels()[0], pillows(KINDS["JPEG"])) <= 3


@pytest.mark.parametrize(
    ("shrink", "scale"), [(0.5, 1), (1, 1), (1.99, 1), (2, 2), (3.9, 2), (4, 4), (7.9, 4), (8, 8), (50, 8)]
)
@pytest.mark.parametrize("size", [(3000, 2000), (1021, 777)])
def test_large_jpegs_are_decoded_at_the_smallest_scale_that_serves(
    size: tuple[int, int], shrink: float, scale: int
) -> None:
    content = encoded(photograph(*size))
    picture = Picture(content)
    assert (picture.width, picture.height) == size
    pixels, found = picture.pixels(shrink)
    assert found == scale
    assert pixels.shape[1:] == (-(-size[1] // scale), -(-size[0] // scale))
    means = torch.nn.functional.avg_pool2d(pillows(content).float(), scale, ceil_mode=True)
    assert (pixels - means).abs().mean() < 1


@pytest.mark.parametrize("shrink", [1, 2])
@pytest.mark.parametrize("left", [0.95, 0.5, 0.1])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "CMYK JPEG"])
def test_truncated_files(kind: str, left: float, shrink: float) -> None:
    content = KINDS[kind]
    with pytest.raises(Unreadable) as raised:
        Picture(content[: int(left * len(content))]).pixels(shrink)
    assert str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("content", "reason"), [(b"", "the file is empty"), (b"<html>", "it is not an image"), (b"\xff\xd8\xff", None)]
)
def test_what_is_no_image(content: bytes, reason: str | None) -> None:
    with pytest.raises(Unreadable) as raised:
        Picture(np.frombuffer(content, dtype=np.uint8).copy()).pixels()
    assert reason is None or str(raised.value) == reason


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(Unreadable, match="no such file or directory"):
        read_picture(b"/nowhere/x.jpg")
