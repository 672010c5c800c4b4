"""Augmentation over a batch, against a loop over its images: in numpy, or by torchvision's functions for one image."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as tv

from convkit.datasets.augment import Augment, crop_by_index, mirror_by_mask


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


def test_the_way_of_other_devices_gives_the_same() -> None:
    """Off the processor, crops and mirrored images are made by an index; here that runs on it too."""
    images = torch.randint(1, 256, (40, 3, 6, 9), dtype=torch.uint8)
    draws = Augment(2, True).draw(np.random.RandomState(1), len(images))
    cropped = crop_by_index(images, draws["corner"], 2)
    assert torch.equal(cropped, one_by_one(images, {"corner": draws["corner"]}, 2))
    assert torch.equal(mirror_by_mask(images, draws["flip"]), one_by_one(images, {"flip": draws["flip"]}, 0))


def photograph(count: int, channels: int = 3, height: int = 24, width: int = 30) -> Tensor:
    """Smooth images, as interpolation wants them, uint8."""
    coarse = torch.rand(count, channels, 5, 6)
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear", align_corners=False)
    return (smooth * 255).round().to(torch.uint8)


def by_torchvision(image: Tensor, draw: dict[str, Any]) -> Tensor:
    """One C×H×W image through torchvision's affine; a crop is a shift, and mirroring comes last."""
    _, height, width = image.shape
    down, across = (draw["shift"][0] * height, draw["shift"][1] * width) if "shift" in draw else (0.0, 0.0)
    changed = tv.affine(
        image,
        angle=draw.get("angle", 0.0),
        translate=[across, down],
        scale=draw.get("zoom", 1.0),
        shear=[0.0, 0.0],
        interpolation=InterpolationMode.BILINEAR,
    )
    return tv.horizontal_flip(changed) if draw.get("flip") else changed


AFFINE = [
    {"rotate": 30}, {"scale": 0.3}, {"translate": 0.2}, {"rotate": 180, "flip": True},
    {"rotate": 20, "scale": 0.2, "translate": 0.1, "flip": True},
]  # fmt: skip


@pytest.mark.parametrize("options", AFFINE)
def test_affine_against_torchvision(options: dict[str, Any]) -> None:
    augment, images = Augment(**options), photograph(20)
    draws = augment.draw(np.random.RandomState(2), len(images))
    changed = augment.apply(images, draws)
    for index, image in enumerate(images.to(torch.float32)):
        draw = {name: value[index].tolist() for name, value in draws.items()}
        torch.testing.assert_close(changed[index], by_torchvision(image, draw), rtol=0, atol=0.02)  # of 255
    assert (changed - images).abs().mean() > 5


def test_a_crop_within_the_affine_one_is_a_shift_before_it() -> None:
    augment, images = Augment(pad=3, rotate=25, scale=0.2), photograph(20)
    draws = augment.draw(np.random.RandomState(2), len(images))
    changed = augment.apply(images, draws)
    for index, image in enumerate(images.to(torch.float32)):
        row, column = draws["corner"][index].tolist()
        # In a frame so wide that neither step pushes anything out of it.
        framed = tv.pad(image, [40] * 4)
        shifted = torch.roll(framed, (3 - row, 3 - column), (1, 2))
        draw = {name: draws[name][index].item() for name in ("angle", "zoom")}
        expected = by_torchvision(shifted, draw)[:, 40:-40, 40:-40]
        torch.testing.assert_close(changed[index], expected, rtol=0, atol=0.02)


def test_an_affine_change_that_changes_nothing() -> None:
    images = photograph(5)
    still = {"angle": torch.zeros(5), "zoom": torch.ones(5), "shift": torch.zeros(5, 2)}
    changed = Augment(rotate=1, scale=1, translate=1).apply(images, still)
    torch.testing.assert_close(changed, images.to(torch.float32), rtol=0, atol=0.01)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("options", [{"brightness": 0.4}, {"contrast": 0.4}, {"brightness": 0.6, "contrast": 0.9}])
def test_colours_against_torchvision(options: dict[str, float], channels: int) -> None:
    augment, images = Augment(**options), photograph(20, channels)  # type: ignore[arg-type]
    draws = augment.draw(np.random.RandomState(2), len(images))
    changed = augment.apply(images, draws)
    for index, image in enumerate(images.to(torch.float32) / 255):
        for name, change in (("brightness", tv.adjust_brightness), ("contrast", tv.adjust_contrast)):
            image = change(image, draws[name][index].item()) if name in draws else image
        torch.testing.assert_close(changed[index] / 255, image, rtol=0, atol=1e-5)


@pytest.mark.parametrize("side", [1, 4, 5, 100])
def test_cutout_against_a_loop(side: int) -> None:
    augment, images = Augment(cutout=side), torch.rand(50, 3, 9, 12) + 1
    draws = augment.draw(np.random.RandomState(3), len(images))
    expected = images.clone()
    for index, (down, across) in enumerate(draws["hole"].tolist()):
        top, left = math.floor(down * 9) - side // 2, math.floor(across * 12) - side // 2
        expected[index, :, max(0, top) : max(0, top + side), max(0, left) : max(0, left + side)] = 0
    assert torch.equal(augment.cut(images, draws), expected)
    assert (expected == 0).any(1).flatten(1).any(1).all()


ALL = Augment(2, True, 4, 0.1, 20, 0.2, 0.3, 0.3)


def test_an_image_changes_alike_whatever_is_beside_it() -> None:
    images = photograph(30)
    draws = ALL.draw(np.random.RandomState(4), 30)
    together = ALL.cut(ALL.apply(images, draws), draws)
    for index in range(30):
        own = {name: draw[index : index + 1] for name, draw in draws.items()}
        alone = ALL.cut(ALL.apply(images[index : index + 1], own), own)
        torch.testing.assert_close(alone[0], together[index], rtol=0, atol=1e-3)


def test_draws_stay_in_their_ranges_and_differ() -> None:
    draws = ALL.draw(np.random.RandomState(0), 20_000)
    ranges = {"shift": (-0.1, 0.1), "angle": (-20, 20), "zoom": (1 / 1.2, 1.2), "brightness": (0.7, 1.3)}
    ranges |= {"contrast": (0.7, 1.3), "hole": (0, 1)}
    for name, (least, most) in ranges.items():
        values = draws[name].flatten()
        assert least <= values.min() < least + 0.01 * (most - least)
        assert most - 0.01 * (most - least) < values.max() <= most
        assert len(values.unique()) > 19_900
    assert draws["zoom"].log().mean().abs() < 0.01  # as often larger as smaller


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"pad": -1}, "augment.pad is a number of pixels and cannot be -1"),
        ({"cutout": -2}, "augment.cutout is a number of pixels and cannot be -2"),
        ({"translate": 1.5}, "augment.translate is a share of the side, from 0 to 1, and cannot be 1.5"),
        ({"rotate": 200}, "augment.rotate is an angle from 0 to 180 degrees and cannot be 200"),
        ({"scale": float("nan")}, "augment.scale is a share, at least 0, and cannot be nan"),
        ({"brightness": -0.1}, "augment.brightness is a share from 0 to 1 and cannot be -0.1"),
        ({"contrast": 1.1}, "augment.contrast is a share from 0 to 1 and cannot be 1.1"),
    ],
)
def test_bad_options(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - the whole message is compared
        Augment(**options)
    assert str(raised.value) == said
