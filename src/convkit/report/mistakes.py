"""A page of misclassified images, each with what it is and what it was taken for."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

TILE, MARGIN, CAPTION, COLUMNS = 128, 12, 38, 5
INK, PAPER, TRUE, WRONG = "#222222", "#ffffff", "#1b6e3c", "#b3261e"


class Mistake(NamedTuple):
    """One image, C×H×W with values from 0 to 1, its class and the one it was taken for, with that one's probability."""

    image: Tensor
    label: str
    predicted: str
    probability: float


def mistakes_page(mistakes: Sequence[Mistake], title: str) -> Image.Image:
    """The images in rows of five, worst first; under each its class, then the wrong one and its probability."""
    rows = max(1, -(-len(mistakes) // COLUMNS))
    width = MARGIN + COLUMNS * (TILE + MARGIN)
    page = Image.new("RGB", (width, 40 + rows * (TILE + CAPTION + MARGIN)), PAPER)
    draw = ImageDraw.Draw(page)
    font, bold = ImageFont.load_default(13), ImageFont.load_default(16)
    draw.text((MARGIN, 12), title, INK, bold)
    for index, mistake in enumerate(mistakes):
        row, column = divmod(index, COLUMNS)
        left, top = MARGIN + column * (TILE + MARGIN), 40 + row * (TILE + CAPTION + MARGIN)
        page.paste(_tile(mistake.image), (left, top))
        draw.text((left, top + TILE + 3), _fit(draw, mistake.label, font), TRUE, font)
        wrong = f"{mistake.predicted} {100 * mistake.probability:.0f}%"
        draw.text((left, top + TILE + 19), _fit(draw, wrong, font), WRONG, font)
    return page


def _tile(image: Tensor) -> Image.Image:
    """C×H×W, 0 to 1, to TILE×TILE with hard pixels, as the network got them."""
    pixels = (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    if pixels.shape[2] not in (1, 3):
        pixels = pixels[:, :, :1]
    pixels = np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels
    picture = Image.fromarray(pixels)
    smaller = max(picture.size) > TILE
    return picture.resize((TILE, TILE), Image.Resampling.LANCZOS if smaller else Image.Resampling.NEAREST)


def _fit(draw: ImageDraw.ImageDraw, text: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont) -> str:
    if draw.textlength(text, font) <= TILE:
        return text
    while text and draw.textlength(text + "…", font) > TILE:
        text = text[:-1]
    return text + "…"
