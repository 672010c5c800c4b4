"""A page of one image's feature maps."""

from collections.abc import Sequence

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from convkit.report.sheet import INK, MARGIN, PAPER, fitted, tile

SIDE, GAP, LINE, TITLE, COLUMNS = 72, 6, 15, 30, 12  # pixels: of a map, between maps, of a line of text, of a title
IMAGE = 2 * SIDE + GAP + LINE  # as high as two rows of maps


def responses_page(image: Tensor, maps: Tensor, channels: Sequence[int], title: str) -> Image.Image:
    """C×H×W from 0 to 1, and beside it K×h×w maps: each by its own largest value, which is written under it.

    Black is nothing and white the largest value; of a map with negative ones grey is nothing.
    """
    columns = min(COLUMNS, len(channels))
    rows = -(-len(channels) // columns)
    left, top = 2 * MARGIN + IMAGE, TITLE + MARGIN
    width = max(420, left + columns * (SIDE + GAP) + MARGIN)
    height = top + max(IMAGE, rows * (SIDE + LINE + GAP)) + MARGIN
    page = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(page)
    large, small = ImageFont.load_default(15), ImageFont.load_default(10)
    draw.text((MARGIN, 8), fitted(draw, title, large, width - 2 * MARGIN), INK, large)
    page.paste(tile(image, IMAGE), (MARGIN, top))
    for index, (channel, values) in enumerate(zip(channels, maps, strict=True)):
        down, across = divmod(index, columns)
        x, y = left + across * (SIDE + GAP), top + down * (SIDE + LINE + GAP)
        page.paste(tile(shade(values)[None], SIDE), (x, y))
        label = f"{channel}: {values.abs().max().item():.2g}"
        draw.text((x, y + SIDE + 1), fitted(draw, label, small, SIDE), INK, small)
    return page


def shade(values: Tensor) -> Tensor:
    """A map from 0 to 1 by its largest value; 0 is 0, or a half where there are negative values."""
    scaled = values / values.abs().max().clamp(min=torch.finfo(values.dtype).tiny)
    return 0.5 + scaled / 2 if bool((values < 0).any()) else scaled
