"""Pages of what excites feature maps: patches beside their projections, maps over epochs, filters."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from convkit.report.sheet import INK, MARGIN, PAPER, fitted, tile

SIDE, GAP, LINE, TITLE = 48, 2, 18, 30  # pixels: of a tile, between tiles, of a line of text, of a title
WIDTH = 1300
OUTSIDE = 0.92  # the shade of what lies outside of the image or of the field


class Block(NamedTuple):
    """One map: k×C×h×w patches from 0 to 1, projections of any scale or none; k×h×w: which pixels the units see."""

    label: str
    patches: Tensor
    projections: Tensor | None
    seen: Tensor


def patches_page(blocks: Sequence[Block], title: str) -> Image.Image:
    """For each map its projections, if any, and beside them in the same order the patches (Zeiler & Fergus 2014,
    figure 2)."""
    across = max(1, round(max(len(block.patches) for block in blocks) ** 0.5))
    down = -(-max(len(block.patches) for block in blocks) // across)
    step = SIDE + GAP
    beside = 0 if any(block.projections is None for block in blocks) else across * step + GAP
    width, height = beside + across * step, LINE + down * step
    columns = max(1, (WIDTH - MARGIN) // (width + MARGIN))
    rows = -(-len(blocks) // columns)
    used = max(360, MARGIN + min(columns, len(blocks)) * (width + MARGIN))
    page, draw, font = _page(used, TITLE + MARGIN + rows * (height + MARGIN), title)
    for index, block in enumerate(blocks):
        down_by, across_by = divmod(index, columns)
        left, top = MARGIN + across_by * (width + MARGIN), TITLE + MARGIN + down_by * (height + MARGIN)
        draw.text((left, top), block.label, INK, font)
        for images, right in ((projected(block), 0), (shown(block), beside)):
            for place, image in enumerate(images):
                y, x = top + LINE + place // across * step, left + right + place % across * step
                page.paste(tile(image, SIDE), (x, y))
    return page


def strips_page(epochs: Sequence[int], rows: Sequence[Block], title: str) -> Image.Image:
    """One row a map, one column an epoch: its patch and, to the right, the projection. ``rows`` have k = epochs."""
    step, first = 2 * (SIDE + GAP) + MARGIN, 60
    width, height = MARGIN + first + len(epochs) * step, TITLE + LINE + len(rows) * (SIDE + GAP) + MARGIN
    page, draw, font = _page(max(width, 360), height, title)
    for index, epoch in enumerate(epochs):
        draw.text((MARGIN + first + index * step, TITLE), f"epoch {epoch}", INK, font)
    for down, block in enumerate(rows):
        top = TITLE + LINE + down * (SIDE + GAP)
        draw.text((MARGIN, top + SIDE // 2 - 7), fitted(draw, block.label, font, first - GAP), INK, font)
        for index, (patch, way) in enumerate(zip(shown(block), projected(block), strict=True)):
            left = MARGIN + first + index * step
            page.paste(tile(patch, SIDE), (left, top))
            page.paste(tile(way, SIDE), (left + SIDE + GAP, top))
    return page


def filters_page(filters: Tensor, title: str) -> Image.Image:
    """K×C×h×w filters of the first layer, each from its least to its largest weight (Krizhevsky et al. 2012, figure 3).

    Of as many channels as colours the filter is a colour picture, else each channel a grey one. One whose weights are
    all the same is grey.
    """
    if filters.shape[1] not in (1, 3):
        filters = filters.flatten(0, 1)[:, None]
    columns = min(16, len(filters))
    rows, step = -(-len(filters) // columns), SIDE + 4 * GAP
    page, _, _ = _page(max(360, 2 * MARGIN + columns * step), TITLE + MARGIN + rows * step, title)
    least, most = (function(filters.flatten(1), 1)[:, None, None, None] for function in (torch.amin, torch.amax))
    scaled = torch.where(most > least, (filters - least) / (most - least).clamp(min=1e-12), 0.5)
    for index, one in enumerate(scaled):
        down, across = divmod(index, columns)
        page.paste(tile(one, SIDE), (MARGIN + across * step, TITLE + down * step))
    return page


def shown(block: Block) -> Tensor:
    """The patches, pale where the unit sees nothing."""
    return torch.where(block.seen[:, None], block.patches, OUTSIDE)


def projected(block: Block) -> Tensor:
    """The projections from 0 to 1, each by its own largest value: grey where nothing is, pale outside of the field.

    Without any, none.
    """
    if block.projections is None:
        return block.patches[:0]
    largest = block.projections.abs().flatten(1).amax(1).clamp(min=1e-12)[:, None, None, None]
    return torch.where(block.seen[:, None], block.projections / (2 * largest) + 0.5, OUTSIDE)


def _page(width: int, height: int, title: str) -> tuple[Image.Image, ImageDraw.ImageDraw, ImageFont.FreeTypeFont]:
    page = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(page)
    draw.text((MARGIN, 8), fitted(draw, title, ImageFont.load_default(15), width - 2 * MARGIN), INK,
              ImageFont.load_default(15))  # fmt: skip
    font = ImageFont.load_default(12)
    assert isinstance(font, ImageFont.FreeTypeFont)
    return page, draw, font
