"""Synthetic images: what the truth about them says is what is in them, and the same numbers give the same bits."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.path import Path as Polygon
from torch import Tensor

from convkit.datasets import shapes as shapes_module
from convkit.datasets.outlines import OUTLINES
from convkit.datasets.shapes import Annotations, Shapes


def made(**options: Any) -> Shapes:
    data = Shapes(**{"size": 40, "train_images": 80, "test_images": 40, **options})
    data.setup()
    return data


def tips(count: int, radius: float, inner: float | None = None) -> list[tuple[float, float]]:
    """Corners of a regular polygon or star, one of them below."""
    corners = []
    for corner in range(count):
        angle = math.pi / 2 + 2 * math.pi * corner / count
        corners.append((radius * math.cos(angle), radius * math.sin(angle)))
        if inner is not None:
            between = angle + math.pi / count
            corners.append((inner * math.cos(between), inner * math.sin(between)))
    return corners


A, B = 0.3, 0.92
POLYGONS = {
    "square": [(-0.7, -0.7), (0.7, -0.7), (0.7, 0.7), (-0.7, 0.7)],
    "triangle": [(x, -y) for x, y in tips(3, 0.98)],  # a side below
    "star": tips(5, 0.3 / math.cos(math.radians(72)), 0.3 / math.cos(math.radians(36))),
    "cross": [
        (-A, -B), (A, -B), (A, -A), (B, -A), (B, A), (A, A), (A, B), (-A, B), (-A, A), (-B, A), (-B, -A), (-A, -A)
    ],
}  # fmt: skip


def places(count: int = 150) -> tuple[Tensor, Tensor]:
    side = (torch.arange(count) + 0.5) / count * 2.2 - 1.1
    y, x = torch.meshgrid(side, side, indexing="ij")
    return x, y


@pytest.mark.parametrize("name", POLYGONS)
def test_outlines_with_corners_against_matplotlib(name: str) -> None:
    x, y = places()
    inside = Polygon(POLYGONS[name]).contains_points(np.stack([x.flatten(), y.flatten()], 1)).reshape(x.shape)
    distance = OUTLINES[name](x, y)
    clear = distance.abs() > 1e-4
    assert np.array_equal((distance < 0).numpy()[clear], inside[clear])


def test_round_outlines_by_their_areas() -> None:
    x, y = places(1000)
    area = {name: (outline(x, y) < 0).float().mean().item() * 2.2**2 for name, outline in OUTLINES.items()}
    assert area["circle"] == pytest.approx(math.pi * 0.85**2, rel=2e-3)
    assert area["ring"] == pytest.approx(math.pi * (0.92**2 - 0.48**2), rel=2e-3)
    # The area that two circles share (Weisstein, "Circle-circle intersection").
    r, bite, d = 0.95, 0.72, 0.5
    first = r**2 * math.acos((d**2 + r**2 - bite**2) / (2 * d * r))
    second = bite**2 * math.acos((d**2 + bite**2 - r**2) / (2 * d * bite))
    kite = math.sqrt((-d + r + bite) * (d + r - bite) * (d - r + bite) * (d + r + bite)) / 2
    assert area["crescent"] == pytest.approx(math.pi * r**2 - (first + second - kite), rel=3e-3)


def test_every_object_fits_in_the_unit_circle_and_fills_a_good_part() -> None:
    x, y = places(400)
    for name, outline in OUTLINES.items():
        inside = outline(x, y) < 0
        assert (x * x + y * y).sqrt()[inside].max() <= 1, name
        assert 0.25 < inside.float().mean() * 2.2**2 / math.pi < 0.8, name


def same(some: Annotations, others: Annotations) -> bool:
    return all(torch.equal(getattr(some, name), getattr(others, name)) for name in ("boxes", "packed", "backgrounds"))


@pytest.mark.parametrize("pixels", [1, 7 * 40 * 40, 2**22])
def test_the_same_bits_whatever_is_drawn_at_once(pixels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = made(val_fraction=0)
    monkeypatch.setattr(shapes_module, "_PIXELS", pixels)
    found = made(val_fraction=0)
    for name in ("train", "test"):
        assert torch.equal(found.splits[name].images, expected.splits[name].images)
        assert same(found.annotations[name], expected.annotations[name])


def test_the_same_bits_tomorrow() -> None:
    """A checksum of what the first release drew: a change of it breaks every result that was reported."""
    images = made(val_fraction=0).splits["train"].images
    assert images.sum(dtype=torch.int64).item() == 43_947_159
    assert images[3, :, 20, 20].tolist() == [88, 128, 58]


def test_more_images_leave_the_first_ones_as_they_are() -> None:
    few, many = made(val_fraction=0), made(val_fraction=0, train_images=200)
    assert torch.equal(many.splits["train"].images[:80], few.splits["train"].images)


def test_draw_seed_draws_others_and_seed_does_not() -> None:
    one, other = made(val_fraction=0), made(val_fraction=0, draw_seed=1)
    assert not torch.equal(one.splits["test"].images, other.splits["test"].images)
    assert torch.equal(one.splits["test"].images, made(val_fraction=0, seed=1).splits["test"].images)
    flat = torch.cat([one.splits[name].images.flatten(1) for name in ("train", "test")])
    assert len(flat.unique(dim=0)) == 120


def test_boxes_are_those_of_the_masks() -> None:
    truth = made().annotations["test"]
    for box, mask in zip(truth.boxes.tolist(), truth.masks.numpy(), strict=True):
        rows, columns = np.nonzero(mask)
        assert box == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert 0.3 * 40 - 8 < max(box[2] - box[0], box[3] - box[1]) <= 0.68 * 40 + 1


def test_masks_are_where_the_object_is() -> None:
    """The same draws with other objects differ inside the two masks and a pixel around them, and nowhere else."""
    numbers = np.random.RandomState(0).random_sample((8, shapes_module.NUMBERS))
    scenes = [shapes_module.paint(torch.full((8,), target), numbers, 48, 8, 0.0) for target in (0, 4)]
    differs = (scenes[0].images != scenes[1].images).any(1)
    either = (scenes[0].masks | scenes[1].masks).float()[:, None]
    wider = torch.nn.functional.max_pool2d(either, 3, 1, 1)[:, 0] > 0
    assert not (differs & ~wider).any()
    exactly_one = scenes[0].masks ^ scenes[1].masks
    assert (differs & exactly_one).sum() > 0.95 * exactly_one.sum()
    assert (scenes[0].masks.sum((1, 2)) > scenes[1].masks.sum((1, 2))).all()  # a circle is larger than a cross


def test_objects_stand_out_from_the_background() -> None:
    data = made(size=64)
    images, masks = data.splits["test"].images.float().mean(1), data.annotations["test"].masks
    gaps = [(image[mask].mean() - image[~mask].mean()).abs() for image, mask in zip(images, masks, strict=True)]
    assert min(gaps) > 25  # of 255


def test_annotations_follow_the_splits() -> None:
    whole, parts = made(val_fraction=0), made(val_fraction=0.2, seed=3, per_class=4)
    for name, source in (("train", "train"), ("val", "train"), ("test", "test")):
        places = parts.indices[name]
        assert torch.equal(parts.splits[name].images, whole.splits[source].images[places])
        assert same(parts.annotations[name], whole.annotations[source].take(places))


@pytest.mark.parametrize("spurious", [0.0, 0.5, 1.0])
def test_spurious_ties_backgrounds_in_training_alone(spurious: float) -> None:
    data = made(size=16, train_images=2000, test_images=2000, spurious=spurious, val_fraction=0)
    for name, share in (("train", spurious), ("test", 0.0)):
        hits = (data.annotations[name].backgrounds == data.labels(name)).float().mean().item()
        assert hits == pytest.approx(share + (1 - share) / 8, abs=4 * math.sqrt(0.25 / 2000))
        counts = torch.bincount(data.annotations[name].backgrounds, minlength=8)
        assert counts.min() > 180  # of 250: all are seen, tied or not


def test_spurious_changes_nothing_but_backgrounds() -> None:
    free, tied = made(val_fraction=0), made(val_fraction=0, spurious=1.0)
    assert torch.equal(free.splits["test"].images, tied.splits["test"].images)
    masks = free.annotations["train"].masks
    assert torch.equal(masks, tied.annotations["train"].masks)
    inside = torch.nn.functional.max_pool2d((~masks).float()[:, None], 3, 1, 1)[:, 0] == 0
    for channel in range(3):
        pair = [data.splits["train"].images[:, channel] for data in (free, tied)]
        assert torch.equal(pair[0][inside], pair[1][inside])


def test_a_background_gives_its_class_away_where_it_is_tied() -> None:
    """The mean colour outside the object, and the nearest of the training means, nothing else."""

    def colours(data: Shapes, name: str) -> Tensor:
        outside = ~data.annotations[name].masks[:, None]
        images = data.splits[name].images.float()
        return (images * outside).sum((2, 3)) / outside.sum((2, 3))

    data = made(train_images=800, test_images=400, spurious=1.0, val_fraction=0)
    train, test = colours(data, "train"), colours(data, "test")
    centres = torch.stack([train[data.labels("train") == target].mean(0) for target in range(8)])
    right = [
        (torch.cdist(part, centres).argmin(1) == data.labels(name)).float().mean()
        for part, name in ((train, "train"), (test, "test"))
    ]
    assert right[0] > 0.7
    assert right[1] < 0.25


def test_classes() -> None:
    data = made(classes=3)
    assert (data.num_classes, data.class_names) == (3, ["circle", "square", "triangle"])
    assert torch.bincount(data.labels("test")).tolist() == [14, 13, 13]
    assert data.annotations["test"].backgrounds.max() == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"size": 15}, "shapes: an object needs 16 pixels; data.size cannot be 15"),
        ({"classes": 9}, "shapes: data.classes is from 2 to 8, not 9"),
        ({"classes": 1}, "shapes: data.classes is from 2 to 8, not 1"),
        ({"train_images": 7}, "shapes: data.train_images cannot be 7: that is not one of each of 8 classes"),
        ({"spurious": 1.1}, "shapes: data.spurious is a share from 0 to 1, not 1.1"),
        ({"draw_seed": -1}, "data.draw_seed is a whole number from 0 to 2**32 - 1, not -1"),
    ],
)
def test_bad_options(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - the whole message is compared
        Shapes(**options)
    assert str(raised.value) == said
