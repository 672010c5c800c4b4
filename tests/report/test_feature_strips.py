"""Where on the pages of feature maps the patches, projections and filters are."""

import numpy as np
import torch

from convkit.report.features import GAP, LINE, SIDE, TITLE, Block, filters_page, patches_page, strips_page
from convkit.report.sheet import MARGIN


def block(count: int) -> Block:
    """Grey patches, each lighter than the one before; projections with a bright left and a dark right half."""
    patches = torch.linspace(0.1, 0.9, count)[:, None, None, None].expand(count, 1, 6, 6)
    ways = torch.zeros(count, 1, 6, 6)
    ways[..., :2], ways[..., 4:] = 5.0, -5.0
    seen = torch.ones(count, 6, 6, dtype=torch.bool)
    seen[0, 3:] = False
    return Block("map 0", patches, ways, seen)


def middle(page: np.ndarray, top: int, left: int, down: float = 0.25, across: float = 0.5) -> int:
    return int(page[top + int(down * SIDE), left + int(across * SIDE), 0])


def test_projections_to_the_left_and_patches_to_the_right_in_the_same_order() -> None:
    page = np.asarray(patches_page([block(9), block(9)], "title"))
    step, top, width = SIDE + GAP, TITLE + MARGIN + LINE, 6 * (SIDE + GAP) + GAP
    for which in (0, 1):
        left = MARGIN + which * (width + MARGIN)
        for place in range(9):
            y, x = top + place // 3 * step, left + place % 3 * step
            shades = [middle(page, y, x, across=share) for share in (0.1, 0.5, 0.9)]
            assert shades[0] == 255
            assert shades[2] == 0
            assert shades[1] in (127, 128)
            assert abs(middle(page, y, x + 3 * step + GAP) - 255 * (0.1 + 0.1 * place)) < 1
    assert middle(page, top, MARGIN + 3 * step + GAP, down=0.75) == 235  # where the unit sees nothing
    assert middle(page, top, MARGIN, down=0.75) == 235


def test_patches_alone() -> None:
    page = np.asarray(patches_page([block(4)._replace(projections=None), block(4)._replace(projections=None)], "title"))
    step, top = SIDE + GAP, TITLE + MARGIN + LINE
    for left in (MARGIN, 2 * MARGIN + 2 * step):
        for place in range(4):
            y, x = top + place // 2 * step, left + place % 2 * step
            assert abs(middle(page, y, x) - 255 * (0.1 + 0.8 * place / 3)) < 1


def test_a_column_an_epoch() -> None:
    page = np.asarray(strips_page([1, 5, 20], [block(3), block(3)], "title"))
    for row in range(2):
        for column in range(3):
            top = TITLE + LINE + row * (SIDE + GAP)
            left = MARGIN + 60 + column * (2 * (SIDE + GAP) + MARGIN)
            assert abs(middle(page, top, left) - 255 * (0.1 + 0.4 * column)) < 1
            assert middle(page, top, left + SIDE + GAP, across=0.1) == 255


def test_filters_from_least_to_most() -> None:
    filters = torch.zeros(20, 3, 4, 4)
    filters[:, 0], filters[:, 2] = -1.0, 3.0
    page = np.asarray(filters_page(filters, "title"))
    assert page[TITLE + 10, MARGIN + 10].tolist() == [0, 64, 255]
    step = SIDE + 4 * GAP
    assert page[TITLE + step + 10, MARGIN + 3 * step + 10].tolist() == [0, 64, 255]  # the last of 20
    assert page[TITLE + step + 10, MARGIN + 4 * step + 10].tolist() == [255] * 3
    dead = np.asarray(filters_page(torch.zeros(1, 3, 4, 4), "title"))
    assert dead[TITLE + 10, MARGIN + 10].tolist() in ([127] * 3, [128] * 3)
    two = np.asarray(filters_page(torch.rand(5, 2, 4, 4), "title"))
    assert (two[TITLE + 10, MARGIN + 9 * step + 10 : MARGIN + 9 * step + SIDE] < 255).any()
