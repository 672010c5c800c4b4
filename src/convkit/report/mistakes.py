"""A page of misclassified images, each with what it is and what it was taken for."""

from collections.abc import Sequence
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from convkit.report.sheet import INK, MARGIN, PAPER, TILE, fitted, tile

CAPTION, COLUMNS = 38, 5
TRUE, WRONG = "#1b6e3c", "#b3261e"


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
        page.paste(tile(mistake.image), (left, top))
        draw.text((left, top + TILE + 3), fitted(draw, mistake.label, font), TRUE, font)
        wrong = f"{mistake.predicted} {100 * mistake.probability:.0f}%"
        draw.text((left, top + TILE + 19), fitted(draw, wrong, font), WRONG, font)
    return page
