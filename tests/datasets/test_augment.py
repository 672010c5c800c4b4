"""Augmentation over a batch, against a loop over its images."""

import numpy as np
import pytest
import torch
from torch import Tensor

from convkit.datasets.augment import Augment


def one_by_one(images: Tensor, draws: dict[str, Tensor], pad: int) -> Tensor:
    """Every image padded with black, cropped and mirrored by itself, in numpy."""
    changed = []
    for index, image in enumerate(images.numpy()):
        if "corner" in draws:
            _, height, width = image.shape
            row, column = draws["corner"][index].tolist()
            image = np.pad(image, ((0, 0), (pad, pad), (pad, pad)))[:, row : row + height, column : column + width]
        if "flip" in draws and draws["flip"][index]:
            image = image[:, :, ::-1]
        changed.append(image.copy())
    return torch.from_numpy(np.stack(changed))


@pytest.mark.parametrize(("pad", "flip"), [(4, False), (0, True), (2, True), (1, True)])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_against_a_loop(pad: int, flip: bool, dtype: torch.dtype) -> None:
    augment = Augment(pad, flip)
    images = torch.randint(1, 256, (40, 3, 6, 9)).to(dtype)
    draws = augment.draw(np.random.RandomState(1), len(images))
    changed = augment.apply(images, draws)
    assert changed.dtype == dtype
    assert torch.equal(changed, one_by_one(images, draws, pad))
    assert not torch.equal(changed, images)


def test_nothing_to_do_is_nothing_done() -> None:
    images = torch.randint(0, 256, (5, 1, 4, 4), dtype=torch.uint8)
    draws = Augment().draw(np.random.RandomState(0), 5)
    assert draws == {}
    assert Augment().apply(images, draws) is images


def test_the_middle_crop_is_the_image() -> None:
    images = torch.randint(0, 256, (5, 1, 4, 7), dtype=torch.uint8)
    assert torch.equal(Augment(pad=3).apply(images, {"corner": torch.full((5, 2), 3)}), images)


def test_every_place_and_both_directions_are_drawn_alike() -> None:
    draws = Augment(2, True).draw(np.random.RandomState(0), 10_000)
    for axis in (0, 1):
        counts = torch.bincount(draws["corner"][:, axis], minlength=5)
        assert len(counts) == 5
        assert (counts - 2000).abs().max() < 200  # 5 standard deviations of 40
    assert (draws["flip"].sum() - 5000).abs() < 250


def test_a_negative_pad_is_refused() -> None:
    with pytest.raises(ValueError, match=r"augment\.pad is a number of pixels and cannot be -1"):
        Augment(pad=-1)
