"""Images in rows with a line of text under each, on white paper: PNG pages for people to look at."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

TILE, MARGIN = 128, 12
INK, PAPER = "#222222", "#ffffff"
_TITLE, _LINE = 34, 20  # heights
Font = ImageFont.ImageFont | ImageFont.FreeTypeFont


class Section(NamedTuple):
    """A title, and under it N images, C×H×W with values from 0 to 1, each with its label."""

    title: str
    images: Sequence[Tensor]
    labels: Sequence[str]


def sheet(sections: Sequence[Section], columns: int = 8) -> Image.Image:
    """All sections, one below the other."""
    rows = [-(-len(section.images) // columns) for section in sections]
    width = MARGIN + columns * (TILE + MARGIN)
    height = MARGIN + sum(_TITLE + count * (TILE + _LINE + MARGIN) for count in rows)
    page = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(page)
    font, bold = ImageFont.load_default(13), ImageFont.load_default(16)
    top = MARGIN
    for section, count in zip(sections, rows, strict=True):
        draw.text((MARGIN, top), fitted(draw, section.title, bold, width - 2 * MARGIN), INK, bold)
        top += _TITLE
        for index, (image, label) in enumerate(zip(section.images, section.labels, strict=True)):
            row, column = divmod(index, columns)
            left, upper = MARGIN + column * (TILE + MARGIN), top + row * (TILE + _LINE + MARGIN)
            page.paste(tile(image), (left, upper))
            draw.text((left, upper + TILE + 3), fitted(draw, label, font), INK, font)
        top += count * (TILE + _LINE + MARGIN)
    return page


def tile(image: Tensor, side: int = TILE) -> Image.Image:
    """C×H×W, 0 to 1, to a square on paper: its own proportions, and hard pixels, as the network got them."""
    pixels = (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    if pixels.shape[2] not in (1, 3):
        pixels = pixels[:, :, :1]
    pixels = np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels
    picture = Image.fromarray(pixels)
    longest = max(picture.size)
    size = max(1, round(side * picture.width / longest)), max(1, round(side * picture.height / longest))
    picture = picture.resize(size, Image.Resampling.LANCZOS if longest > side else Image.Resampling.NEAREST)
    if picture.size == (side, side):
        return picture
    square = Image.new("RGB", (side, side), PAPER)
    square.paste(picture, ((side - size[0]) // 2, (side - size[1]) // 2))
    return square


def fitted(draw: ImageDraw.ImageDraw, text: str, font: Font, width: int = TILE) -> str:
    """The text, its end left out where it is wider than so many pixels."""
    if draw.textlength(text, font) <= width:
        return text
    while text and draw.textlength(text + "…", font) > width:
        text = text[:-1]
    return text + "…"
