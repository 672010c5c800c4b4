"""Sheets of images: what lies where, and odd shapes."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFont

from convkit.report.sheet import MARGIN, TILE, Section, fitted, sheet, tile


def grey(value: float, height: int = 8, width: int = 8) -> torch.Tensor:
    return torch.full((1, height, width), value)


def test_every_image_is_in_its_place_with_its_label_below() -> None:
    values = [index / 20 for index in range(1, 20)]
    labels = [f"{index}" for index in range(11)], [""] * 8
    page = sheet([Section("one", [grey(value) for value in values[:11]], labels[0]),
                  Section("two", [grey(value) for value in values[11:]], labels[1])], columns=4)  # fmt: skip
    pixels = np.asarray(page)[..., 0]
    assert page.width == MARGIN + 4 * (TILE + MARGIN)
    found = []
    for row in range(pixels.shape[0] - TILE + 1):
        for column in range(4):
            left = MARGIN + column * (TILE + MARGIN)
            square = pixels[row : row + TILE, left : left + TILE]
            if (square == square[0, 0]).all() and square[0, 0] != 255:
                found.append(int(square[0, 0]))
                caption = pixels[row + TILE + 3 : row + TILE + 18, left : left + TILE]
                assert (caption != 255).any() == (len(found) <= 11)
    assert found == [round(255 * value) for value in values]


def test_other_proportions_are_kept() -> None:
    tall = np.asarray(tile(torch.zeros(3, 40, 20)))
    assert tall.shape == (TILE, TILE, 3)
    assert (tall[:, 32:96] == 0).all()
    assert (tall[:, :32] == 255).all()
    assert (tall[:, 96:] == 255).all()
    assert tile(torch.zeros(3, 1, 1000)).size == (TILE, TILE)


@pytest.mark.parametrize("width", [5, 60, 1000])
def test_text_is_fitted(width: int) -> None:
    draw, font = ImageDraw.Draw(Image.new("RGB", (9, 9))), ImageFont.load_default(13)
    text = "a long name of a class"
    short = fitted(draw, text, font, width)
    assert draw.textlength(short, font) <= max(width, draw.textlength("…", font))
    assert short == text or (short.endswith("…") and text.startswith(short[:-1]))
    assert (short == text) == (width == 1000)
