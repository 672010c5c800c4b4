"""Outlines of the objects in ``shapes``: negative inside, near the edge the distance to it, in units of the radius.

Only additions, products, comparisons, absolute values and square roots: what IEEE 754 rounds alike everywhere, so that
a seed gives the same bits on every machine and whatever images share a batch. Every object fits in the unit circle.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor


def circle(x: Tensor, y: Tensor) -> Tensor:
    return (x * x + y * y).sqrt() - 0.85


def ring(x: Tensor, y: Tensor) -> Tensor:
    return ((x * x + y * y).sqrt() - 0.7).abs() - 0.22


def square(x: Tensor, y: Tensor) -> Tensor:
    return torch.maximum(x.abs(), y.abs()) - 0.7


def triangle(x: Tensor, y: Tensor) -> Tensor:
    first, second, third = _sides(x, y, 3, 0.49)
    return torch.maximum(torch.maximum(first, second), third)


def star(x: Tensor, y: Tensor) -> Tensor:
    """Five points: a place lies within where it is beyond one side at most, so the second largest distance counts."""
    sides = _sides(x, y, 5, 0.3)
    largest, second = torch.maximum(sides[0], sides[1]), torch.minimum(sides[0], sides[1])
    for side in sides[2:]:
        second = torch.maximum(second, torch.minimum(largest, side))
        largest = torch.maximum(largest, side)
    return second


def cross(x: Tensor, y: Tensor) -> Tensor:
    x, y = x.abs(), y.abs()
    upright = torch.maximum(x - 0.3, y - 0.92)
    return torch.minimum(upright, torch.maximum(y - 0.3, x - 0.92))


def crescent(x: Tensor, y: Tensor) -> Tensor:
    bite = 0.72 - ((x - 0.5) * (x - 0.5) + y * y).sqrt()
    return torch.maximum((x * x + y * y).sqrt() - 0.95, bite)


def heart(x: Tensor, y: Tensor) -> Tensor:
    """Two circles, and the square between them standing on its corner."""
    x = x.abs()
    lobe = ((x - 0.36) * (x - 0.36) + (y + 0.28) * (y + 0.28)).sqrt() - 0.515
    body = torch.maximum(x + y - 0.8083, x - y - 0.64)
    return torch.minimum(lobe, torch.maximum(body, -0.28 - y))


def _sides(x: Tensor, y: Tensor, count: int, apothem: float) -> list[Tensor]:
    """Signed distances from the lines of a regular polygon's sides, one of them below."""
    angles = [2 * math.pi * side / count + math.pi / 2 for side in range(count)]
    return [x * math.cos(angle) + y * math.sin(angle) - apothem for angle in angles]


# In the order of the classes.
OUTLINES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "circle": circle,
    "square": square,
    "triangle": triangle,
    "star": star,
    "cross": cross,
    "ring": ring,
    "crescent": crescent,
    "heart": heart,
}
