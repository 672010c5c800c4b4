"""Crops against torchvision's, and what is drawn for an image against its distribution."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d
from torchvision.transforms import RandomResizedCrop as RandomResizedCropV1
from torchvision.transforms import v2

from convkit.datasets.crops import CentreCrop, Pixels, RandomResizedCrop, TenCrops, View, shrunk
from convkit.datasets.decoded_cache import Decoded
from convkit.datasets.draws import uniform

ROW = np.arange(1)
GOLDEN = 0x9E3779B97F4A7C15


def mixed(number: int) -> int:
    """Steele, Lea & Flood 2014, in Python's own numbers."""
    number = (number + GOLDEN) % 2**64
    number = (number ^ number >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    number = (number ^ number >> 27) * 0x94D049BB133111EB % 2**64
    return number ^ number >> 31


def picture(height: int, width: int) -> Decoded:
    noise = np.random.RandomState(height).randint(0, 256, (height // 4 + 1, width // 4 + 1, 3), dtype=np.uint8)
    return Decoded(torch.from_numpy(noise.repeat(4, 0).repeat(4, 1)[:height, :width].copy()).permute(2, 0, 1))


class Halved:
    """A picture whose pixels come at half its size, as a large JPEG's do."""

    def __init__(self, whole: Decoded) -> None:
        self.height, self.width, self.whole = whole.height, whole.width, whole

    def pixels(self, shrink: float = 1) -> tuple[Tensor, int]:
        assert shrink >= 2
        return avg_pool2d(self.whole.pixels()[0].float(), 2, ceil_mode=True).byte(), 2


def seen(view: View, image: Pixels, draws: np.ndarray | None = None) -> Tensor:
    out = torch.zeros(view.shape, dtype=torch.uint8)
    view(image, np.zeros(view.draws) if draws is None else draws, out)
    return out


@pytest.mark.parametrize(("height", "width"), [(300, 400), (400, 300), (64, 64), (50, 70), (231, 640), (224, 224)])
@pytest.mark.parametrize(("size", "resize"), [(64, 73), (224, 256), (32, 32)])
def test_centre_crop_is_torchvisions(height: int, width: int, size: int, resize: int) -> None:
    image = picture(height, width)
    expected = v2.CenterCrop(size)(v2.Resize(resize)(image.pixels()[0]))
    assert torch.equal(seen(CentreCrop(size, resize), image), expected)


@pytest.mark.parametrize("shape", [(10, 3000), (3000, 10), (1, 500)])
def test_a_strip_is_not_enlarged_as_a_whole(shape: tuple[int, int]) -> None:
    assert seen(CentreCrop(32, 40), picture(*shape)).shape == (3, 32, 32)


@pytest.mark.parametrize(("height", "width"), [(300, 400), (400, 300), (256, 256)])
def test_ten_crops_are_torchvisions_of_the_middle_square(height: int, width: int) -> None:
    image = picture(height, width)
    square = v2.CenterCrop(256)(v2.Resize(256)(image.pixels()[0]))
    corners = v2.TenCrop(224)(square)  # four corners and centre; then those of the mirror image, whose left is right
    expected = [corners[index] for index in (4, 0, 1, 2, 3, 9, 6, 5, 8, 7)]
    found = seen(TenCrops(224, 256), image)
    assert torch.equal(found, torch.stack(expected))
    assert torch.equal(found[0], seen(CentreCrop(224, 256), image))


def test_a_random_crop_is_that_part_resized() -> None:
    image, crop = picture(300, 400), RandomResizedCrop(64)
    for draws in uniform(1, 2, np.arange(20), crop.draws):
        top, left, height, width = crop.box(300, 400, draws)
        expected = v2.functional.resized_crop(image.pixels()[0], top, left, height, width, [64, 64])
        found = seen(crop, image, draws)
        assert torch.equal(found, v2.functional.hflip(expected) if draws[-1] < 0.5 else expected)


def test_a_crop_of_a_half_decoded_picture_is_about_the_same() -> None:
    image, crop = picture(601, 803), RandomResizedCrop(64, scale=(0.5, 1))
    for draws in uniform(1, 2, np.arange(5), crop.draws):
        whole, halved = seen(crop, image, draws), seen(crop, Halved(image), draws)
        assert (whole.float() - halved.float()).abs().mean() < 6  # of noise of 4-pixel blocks


def test_boxes_have_the_distribution_of_torchvisions() -> None:
    crop = RandomResizedCrop(64, scale=(0.2, 0.9), ratio=(0.5, 2.0))
    own = np.array([crop.box(300, 400, draws) for draws in uniform(0, 0, np.arange(3000), crop.draws)])
    torch.manual_seed(0)
    image = torch.empty(3, 300, 400)
    theirs = np.array([RandomResizedCropV1.get_params(image, [0.2, 0.9], [0.5, 2.0]) for _ in range(3000)])
    for column in range(4):
        quantiles = [np.quantile(boxes[:, column], [0.1, 0.3, 0.5, 0.7, 0.9]) for boxes in (own, theirs)]
        assert np.abs(quantiles[0] - quantiles[1]).max() < 14


@pytest.mark.parametrize(("height", "width"), [(300, 400), (1, 1), (5, 900), (900, 5), (2, 3)])
def test_boxes_lie_inside(height: int, width: int) -> None:
    crop = RandomResizedCrop(8)
    for draws in uniform(3, 1, np.arange(300), crop.draws):
        top, left, h, w = crop.box(height, width, draws)
        assert 0 <= top <= top + h <= height
        assert 0 <= left <= left + w <= width
        assert h >= 1
        assert w >= 1


def test_shrinking_only_shrinks() -> None:
    assert shrunk(picture(300, 400), 256).shape == (3, 256, 341)
    assert shrunk(picture(400, 300), 256).shape == (3, 341, 256)
    assert torch.equal(shrunk(picture(100, 400), 256), picture(100, 400).pixels()[0])


def test_draws_are_uniform_and_each_images_own() -> None:
    drawn = uniform(7, 3, np.arange(4000), 5)
    assert drawn.min() >= 0
    assert drawn.max() < 1
    # Kolmogorov-Smirnov at 1‰, for each of the five and for all.
    for values in (*drawn.T, drawn.ravel()):
        expected = (np.arange(len(values)) + 0.5) / len(values)
        assert np.abs(np.sort(values) - expected).max() < 1.95 / math.sqrt(len(values))
    correlation = np.corrcoef(np.concatenate([drawn[:-1].T, drawn[1:].T]))  # of an image's and its neighbour's
    assert np.abs(correlation - np.eye(10)).max() < 0.07
    assert len(np.unique(drawn)) == drawn.size


def test_draws_depend_on_seed_epoch_and_image_alone() -> None:
    everything = uniform(7, 3, np.arange(50), 5)
    assert np.array_equal(uniform(7, 3, np.array([31, 2]), 5), everything[[31, 2]])
    assert np.array_equal(uniform(7, 3, np.arange(50), 3), everything[:, :3])
    for other in (uniform(8, 3, ROW, 5), uniform(7, 4, ROW, 5), uniform(3, 7, ROW, 5), uniform(7, 3, ROW + 1, 5)):
        assert not np.isin(other, everything[0]).any()


def test_draws_are_splitmix64s() -> None:
    assert mixed(0) == 0xE220A8397B1DCDAF  # the first number of the published generator from seed 0
    state = mixed(mixed(mixed(11) ^ mixed(4 + 1)) ^ mixed(23))
    expected = [(mixed((state + step * GOLDEN) % 2**64) >> 11) / 2**53 for step in (1, 2, 3)]
    assert uniform(11, 4, ROW + 23, 3).tolist() == [expected]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"size": 0}, r"data\.size is a number of pixels and cannot be 0"),
        ({"size": 8, "scale": (0, 1)}, r"data\.scale"),
        ({"size": 8, "scale": (0.5, 0.1)}, r"data\.scale"),
        ({"size": 8, "scale": (0.5, 1.5)}, r"data\.scale"),
        ({"size": 8, "ratio": (0, 1)}, r"data\.ratio"),
    ],
)
def test_bad_options(options: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        RandomResizedCrop(**options)
