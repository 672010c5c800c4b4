"""The page of mistakes: its size, whose image lies where, and what happens to odd images and names."""

import numpy as np
import pytest
import torch
from PIL import Image

from convkit.report.mistakes import CAPTION, COLUMNS, MARGIN, PAPER, TILE, Mistake, mistakes_page

HEAD = 40


def pixels(page: Image.Image) -> np.ndarray:
    return np.asarray(page)


def tile(page: Image.Image, index: int) -> np.ndarray:
    row, column = divmod(index, COLUMNS)
    left, top = MARGIN + column * (TILE + MARGIN), HEAD + row * (TILE + CAPTION + MARGIN)
    return pixels(page)[top : top + TILE, left : left + TILE]


def caption(page: Image.Image, index: int) -> np.ndarray:
    row, column = divmod(index, COLUMNS)
    left, top = MARGIN + column * (TILE + MARGIN), HEAD + row * (TILE + CAPTION + MARGIN) + TILE
    return pixels(page)[top : top + CAPTION, left : left + TILE]


def mistake(image: torch.Tensor, label: str = "cat", predicted: str = "dog") -> Mistake:
    return Mistake(image, label, predicted, 0.9)


@pytest.mark.parametrize(("count", "rows"), [(0, 1), (1, 1), (5, 1), (6, 2), (25, 5)])
def test_size_follows_the_rows_of_five(count: int, rows: int) -> None:
    page = mistakes_page([mistake(torch.zeros(3, 8, 8))] * count, "title")
    assert page.size == (MARGIN + 5 * (TILE + MARGIN), HEAD + rows * (TILE + CAPTION + MARGIN))
    assert page.mode == "RGB"


def test_images_are_shown_as_they_are_in_hard_pixels() -> None:
    red_green = torch.zeros(3, 2, 2)
    red_green[0, :, 0] = 1
    red_green[1, :, 1] = 1
    page = mistakes_page([mistake(torch.full((1, 4, 4), 0.5)), mistake(red_green)], "two")
    assert (tile(page, 0) == 128).all()
    assert (tile(page, 1)[:, : TILE // 2] == (255, 0, 0)).all()
    assert (tile(page, 1)[:, TILE // 2 :] == (0, 255, 0)).all()
    assert (tile(page, 2) == 255).all()  # paper


def test_values_beyond_the_range_are_clipped_and_large_images_shrunk() -> None:
    page = mistakes_page([mistake(torch.full((3, 8, 8), 7.0)), mistake(torch.full((3, 300, 200), -1.0))], "odd")
    assert (tile(page, 0) == 255).all()
    assert (tile(page, 1) == 0).all()


def test_other_numbers_of_channels_show_the_first() -> None:
    image = torch.zeros(4, 8, 8)
    image[0] = 1
    assert (tile(mistakes_page([mistake(image)], "four"), 0) == 255).all()


def test_a_caption_stays_under_its_own_image() -> None:
    page = mistakes_page([mistake(torch.zeros(1, 8, 8), "an extremely long name of a class " * 3)], "long")
    assert (caption(page, 0) != 255).any()
    gap = pixels(page)[HEAD + TILE : HEAD + TILE + CAPTION, MARGIN + TILE : MARGIN + TILE + MARGIN]
    assert (gap == 255).all()
    assert (caption(page, 1) == 255).all()


def test_captions_differ_with_label_guess_and_probability() -> None:
    image = torch.zeros(1, 8, 8)
    seen = {
        caption(mistakes_page([Mistake(image, label, guess, probability)], ""), 0).tobytes()
        for label in ("cat", "dog")
        for guess in ("bird", "horse")
        for probability in (0.5, 0.9)
    }
    assert len(seen) == 8


def test_none_wrong_is_a_page_with_its_title_alone() -> None:
    page = mistakes_page([], "0 worst of 0 mistakes")
    assert (pixels(page)[:HEAD] != 255).any()
    assert (pixels(page)[HEAD:] == 255).all()
    assert PAPER == "#ffffff"
