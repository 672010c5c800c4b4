"""Pictures of one textured object over a cluttered background, drawn from uniform numbers: many at once.

What is computed for every pixel is rounded alike everywhere (see ``outlines``): the same numbers give the same bits.
Shapes: N images, S×S pixels, planes N×S×S; places in shares of the side, from the top left.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convkit.datasets.outlines import OUTLINES

_BARS, _GRID = 5, 5
# How many uniform numbers an image takes, and for what. Their order is part of what a seed stands for.
_NUMBERS = {
    "tied": 1,  # whether the background goes with the class
    "background": 1,
    "place": 2,
    "radius": 1,
    "turn": 1,
    "light": 1,  # a bright object or a dark one
    "colours": 6,
    "stripes": 3,  # of the object: frequency, direction, phase
    "waves": 6,  # of the background, likewise, twice
    "tint": 3,
    "blotches": _GRID * _GRID,
    "bars": _BARS * 8,  # place, length, width, direction, colour
}
NUMBERS = sum(_NUMBERS.values())

_TURNS = 4096
_TURN = torch.tensor([(math.cos(math.tau * k / _TURNS), math.sin(math.tau * k / _TURNS)) for k in range(_TURNS)])

# A background's colour, and what its pattern has of stripes, of chequers and of blotches.
BACKGROUNDS: list[tuple[tuple[float, float, float], tuple[float, float, float]]] = [
    ((0.25, 0.45, 0.62), (0.7, 0.0, 0.3)),
    ((0.58, 0.42, 0.28), (0.0, 0.7, 0.3)),
    ((0.30, 0.52, 0.30), (0.0, 0.0, 1.0)),
    ((0.56, 0.34, 0.46), (0.4, 0.4, 0.2)),
    ((0.52, 0.52, 0.28), (0.7, 0.0, 0.3)),
    ((0.30, 0.52, 0.52), (0.0, 0.7, 0.3)),
    ((0.42, 0.36, 0.60), (0.0, 0.0, 1.0)),
    ((0.46, 0.46, 0.46), (0.4, 0.4, 0.2)),
]


class Scenes(NamedTuple):
    """N pictures: ``images`` N×3×S×S uint8, ``masks`` N×S×S bool, ``boxes`` N×4 (left, top, right, bottom, in pixels,
    the last two beyond the object), ``backgrounds`` N indices."""

    images: Tensor
    masks: Tensor
    boxes: Tensor
    backgrounds: Tensor


def paint(targets: Tensor, numbers: NDArray[np.float64], size: int, classes: int, spurious: float) -> Scenes:
    """One picture for each of N targets and N×NUMBERS uniform numbers; ``spurious`` of them on their class's ground."""
    parts = torch.split(torch.from_numpy(numbers), list(_NUMBERS.values()), 1)
    drawn = dict(zip(_NUMBERS, parts, strict=True))
    tied = drawn["tied"][:, 0] < spurious
    backgrounds = torch.where(tied, targets, (drawn["background"][:, 0] * classes).to(torch.int64))
    values = {name: value.to(torch.float32) for name, value in drawn.items()}
    side = (torch.arange(size, dtype=torch.float32) + 0.5) / size
    y, x = side[:, None], side[None, :]  # what is linear in them is added up once for each pixel
    canvas = _background(values, backgrounds, x, y)
    for bar in values["bars"].view(len(targets), _BARS, 8).unbind(1):
        _paint_bar(canvas, bar, x, y, size)
    cover = _paint_object(canvas, values, targets, x, y)
    masks = cover >= 0.5
    return Scenes(canvas.mul_(255).round_().clamp_(0, 255).to(torch.uint8), masks, _boxes(masks), backgrounds)


def _background(values: dict[str, Tensor], backgrounds: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """N×3×S×S: a colour, lighter and darker by its pattern."""
    colour, pattern = (torch.tensor(part)[backgrounds] for part in zip(*BACKGROUNDS, strict=True))
    waves = values["waves"].view(-1, 2, 3)
    first, second = (_wave(x, y, 3 + 5 * wave[:, 0], wave[:, 1], wave[:, 2]) for wave in waves.unbind(1))
    blotches = _blotches(values["blotches"].view(-1, _GRID, _GRID), len(y))
    tone = blotches.mul_(_plane(pattern[:, 2]))
    tone += second.mul_(first) * _plane(pattern[:, 1])
    tone += first.mul_(_plane(pattern[:, 0]))
    colour = colour + 0.16 * (values["tint"] - 0.5)
    return tone.mul_(0.28).add_(1)[:, None] * colour[:, :, None, None]


def _paint_bar(canvas: Tensor, bar: Tensor, x: Tensor, y: Tensor, size: int) -> None:
    """A bar of any colour at any place and angle, over what is there."""
    along, across = _turned(x - _plane(bar[:, 0]), y - _plane(bar[:, 1]), bar[:, 4])
    outside = along.abs_().sub_(_plane(0.04 + 0.22 * bar[:, 2]))
    outside = torch.maximum(outside, across.abs_().sub_(_plane(0.008 + 0.03 * bar[:, 3])))
    _lay_over(canvas, (0.15 + 0.7 * bar[:, 5:])[:, :, None, None], outside.mul_(-size).add_(0.5).clamp_(0, 1))


def _paint_object(canvas: Tensor, values: dict[str, Tensor], targets: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """The object, wholly inside the picture; returns how much of each pixel it covers, N×S×S."""
    size = len(y)
    radius = 0.17 + 0.17 * values["radius"][:, 0]
    place = radius[:, None] + values["place"] * (1 - 2 * radius[:, None])
    x, y = (x - _plane(place[:, 0])) / _plane(radius), (y - _plane(place[:, 1])) / _plane(radius)
    across, down = _turned(x, y, values["turn"][:, 0])
    distance = torch.empty_like(across)
    for target, outline in enumerate(OUTLINES.values()):
        chosen = (targets == target).nonzero()[:, 0]
        if len(chosen):
            distance[chosen] = outline(across[chosen], down[chosen])
    cover = distance.mul_(_plane(-size * radius)).add_(0.5).clamp_(0, 1)
    # A bright object or a dark one: no background is either.
    light = _plane(values["light"][:, 0] < 0.5)[:, None].to(torch.float32)
    ends = values["colours"].view(-1, 2, 3)[..., None, None].mul(0.3)
    one, other = (end + 0.7 * light for end in ends.unbind(1))
    stripes = values["stripes"]
    tone = _wave(across, down, 1 + 1.5 * stripes[:, 0], stripes[:, 1], stripes[:, 2]).mul_(3).add_(0.5).clamp_(0, 1)
    _lay_over(canvas, one + (other - one) * tone[:, None], cover)
    return cover


def _lay_over(canvas: Tensor, colour: Tensor, cover: Tensor) -> None:
    canvas += (colour - canvas).mul_(cover[:, None])


def _turned(x: Tensor, y: Tensor, turn: Tensor) -> tuple[Tensor, Tensor]:
    """Coordinates in a frame that is turned by a share of a full turn."""
    cosine, sine = (_plane(part) for part in _TURN[(turn * _TURNS).to(torch.int64)].unbind(1))
    return x * cosine + y * sine, y * cosine - x * sine


def _wave(x: Tensor, y: Tensor, frequency: Tensor, turn: Tensor, phase: Tensor) -> Tensor:
    """A triangle wave from -1 to 1 along a direction."""
    cosine, sine = _TURN[(turn * _TURNS).to(torch.int64)].unbind(1)
    place = (x * _plane(frequency * cosine) + _plane(phase)) + y * _plane(frequency * sine)
    return place.sub_(place.floor()).sub_(0.5).abs_().mul_(4).sub_(1)


def _blotches(values: Tensor, size: int) -> Tensor:
    """Smooth noise from -1 to 1: N×G×G values, between which it goes straight."""
    place = torch.arange(size, dtype=torch.float32) * (_GRID - 1) / max(size - 1, 1)
    low = place.floor().clamp_(max=_GRID - 2)
    part, low = place - low, low.to(torch.int64)
    rows = values[:, low] + (values[:, low + 1] - values[:, low]) * part[:, None]
    left = rows[:, :, low]
    return (left + (rows[:, :, low + 1] - left) * part).mul_(2).sub_(1)


def _boxes(masks: Tensor) -> Tensor:
    """The smallest boxes around masks that are not empty."""
    edges = []
    for seen in (masks.any(1), masks.any(2)):  # columns, rows
        flags = seen.to(torch.uint8)
        edges += [flags.argmax(1), seen.shape[1] - flags.flip(1).argmax(1)]
    left, right, top, bottom = edges
    return torch.stack([left, top, right, bottom], 1).to(torch.float32)


def _plane(values: Tensor) -> Tensor:
    return values[:, None, None]
