"""Synthetic images with ground truth: does a network look at the object, or at what is around it?"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from convkit.datasets.batches import Split
from convkit.datasets.in_memory import InMemoryData
from convkit.datasets.outlines import OUTLINES
from convkit.datasets.scenes import NUMBERS, paint

_PIXELS = 2**17  # painted at once
SMALLEST = 16


@dataclass(frozen=True)
class Annotations:
    """Where the objects are: ``boxes`` N×4 float (left, top, right, bottom in pixels, right and bottom beyond the
    object), ``masks`` N×S×S bool, and ``backgrounds``, N indices of the class that a background goes with."""

    boxes: Tensor
    packed: Tensor  # N×⌈S²/8⌉ uint8, eight pixels of a mask in a byte
    backgrounds: Tensor
    size: int

    @property
    def masks(self) -> Tensor:
        bits = np.unpackbits(self.packed.numpy(), axis=1, count=self.size**2)
        return torch.from_numpy(bits).view(-1, self.size, self.size).to(torch.bool)

    def take(self, indices: Tensor) -> "Annotations":
        return Annotations(self.boxes[indices], self.packed[indices], self.backgrounds[indices], self.size)


class Shapes(InMemoryData):
    """Objects of up to eight classes, of random place, size, angle and texture, over cluttered backgrounds.

    Every class is alike frequent, and an image is the same whatever the number of images. After ``setup``,
    ``annotations`` has the truth about ``"train"``, ``"val"`` and ``"test"``, in the order of ``splits``.

    Args:
        size: side of an image in pixels.
        train_images: how many to train on, those held out for validation among them.
        test_images: how many to test on.
        classes: how many of circle, square, triangle, star, cross, ring, crescent and heart.
        spurious: share of the training images whose background is the class's own, in colour and in pattern. All
            other backgrounds, and those of all test images, are drawn from the same ones at random.
        draw_seed: of the images themselves; ``seed`` orders them.
    """

    def __init__(
        self,
        size: int = 64,
        train_images: int = 8000,
        test_images: int = 2000,
        classes: int = 8,
        spurious: float = 0.0,
        draw_seed: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if size < SMALLEST:
            raise ValueError(f"shapes: an object needs {SMALLEST} pixels; data.size cannot be {size}")
        if not 2 <= classes <= len(OUTLINES):
            raise ValueError(f"shapes: data.classes is from 2 to {len(OUTLINES)}, not {classes}")
        for name, count in (("train_images", train_images), ("test_images", test_images)):
            if count < classes:
                raise ValueError(f"shapes: data.{name} cannot be {count}: that is not one of each of {classes} classes")
        if not 0 <= spurious <= 1:
            raise ValueError(f"shapes: data.spurious is a share from 0 to 1, not {spurious}")
        if not 0 <= draw_seed < 2**32:
            raise ValueError(f"data.draw_seed is a whole number from 0 to 2**32 - 1, not {draw_seed}")
        self.size, self.spurious, self.draw_seed = size, spurious, draw_seed
        self.counts = (train_images, test_images)
        self.class_names = list(OUTLINES)[:classes]
        self.num_classes = classes
        self.image_shape = (3, size, size)
        self._drawn: list[Annotations] = []

    @property
    def annotations(self) -> dict[str, Annotations]:
        """The truth about each split, in its order."""
        train, test = self._drawn
        sources = {"train": train, "val": train if self.val_fraction else test, "test": test}
        return {name: source.take(self.indices[name]) for name, source in sources.items()}

    def load(self) -> tuple[Split, Split]:
        parts = [self._draw(part, count) for part, count in enumerate(self.counts)]
        self._drawn = [truth for _, truth in parts]
        return parts[0][0], parts[1][0]

    def _draw(self, part: int, count: int) -> tuple[Split, Annotations]:
        random = np.random.RandomState([self.draw_seed, part])
        targets = torch.arange(count) % self.num_classes
        images = torch.empty(count, *self.image_shape, dtype=torch.uint8)
        boxes, backgrounds = torch.empty(count, 4), torch.empty(count, dtype=torch.int64)
        packed = torch.empty(count, -(-(self.size**2) // 8), dtype=torch.uint8)
        at_once = max(1, _PIXELS // self.size**2)
        for start in range(0, count, at_once):
            here = slice(start, start + at_once)
            numbers = random.random_sample((len(targets[here]), NUMBERS))
            scenes = paint(targets[here], numbers, self.size, self.num_classes, 0 if part else self.spurious)
            images[here], boxes[here], backgrounds[here] = scenes.images, scenes.boxes, scenes.backgrounds
            packed[here] = torch.from_numpy(np.packbits(scenes.masks.flatten(1).numpy(), axis=1))
        return Split(images, targets), Annotations(boxes, packed, backgrounds, self.size)
