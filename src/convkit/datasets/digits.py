"""Handwritten digits that need no network: 1,797 scans of 8×8, bundled with scikit-learn (UCI, Alpaydin 1998)."""

from typing import Any

import numpy as np
import torch
from torch.nn import functional as F  # noqa: N812 - the field's own name

from convkit.datasets.batches import Split
from convkit.datasets.in_memory import InMemoryData
from convkit.datasets.subset import stratified


class Digits(InMemoryData):
    """scikit-learn's digits, enlarged to ``size``×``size``; a fifth of each class is the test set, always the same.

    Args:
        size: side of an image in pixels; 32 is what LeNet-5 was drawn for, 8 the scans' own.
    """

    num_classes = 10
    class_names: list[str] = [str(digit) for digit in range(10)]

    def __init__(self, size: int = 32, **options: Any) -> None:
        super().__init__(**options)
        if size < 8:
            raise ValueError(f"digits: the scans are 8×8 and can only be enlarged; data.size cannot be {size}")
        self.image_shape = (1, size, size)

    def load(self) -> tuple[Split, Split]:
        from sklearn.datasets import load_digits

        scans = load_digits()
        # 17 grey levels, 0 to 16
        images = torch.from_numpy(scans.images).to(torch.float32).mul_(255 / 16).unsqueeze(1)
        images = F.interpolate(images, self.image_shape[1:], mode="bilinear", align_corners=False)
        everything = Split(images.round_().to(torch.uint8), torch.from_numpy(scans.target.astype(np.int64)))
        test = stratified(scans.target, 0.2, seed=0)
        return everything.take((~test).nonzero()[:, 0]), everything.take(test.nonzero()[:, 0])
