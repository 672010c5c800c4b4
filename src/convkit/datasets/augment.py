"""Random changes of training images: vectorised over the batch, a draw of its own for every image."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the field's own name


@dataclass(frozen=True)
class Augment:
    """What may happen to a training image.

    Args:
        pad: black pixels added on every side before a crop of the old size at a random place (4 in He et al. 2016).
        flip: mirror left and right with probability one half.
    """

    pad: int = 0
    flip: bool = False

    def __post_init__(self) -> None:
        if self.pad < 0:
            raise ValueError(f"augment.pad is a number of pixels and cannot be {self.pad}")

    def draw(self, random: np.random.RandomState, count: int) -> dict[str, Tensor]:
        """The draws for ``count`` images; drawn for a whole batch, then divided among ranks."""
        draws = {}
        if self.pad:
            draws["corner"] = torch.from_numpy(random.randint(0, 2 * self.pad + 1, size=(count, 2)))
        if self.flip:
            draws["flip"] = torch.from_numpy(random.randint(0, 2, size=count).astype(bool))
        return draws

    def apply(self, images: Tensor, draws: dict[str, Tensor]) -> Tensor:
        """N×C×H×W images, changed as drawn; dtype and device stay."""
        if self.pad:
            rows, columns = draws["corner"].to(images.device).unbind(1)
            height, width = images.shape[-2:]
            padded = F.pad(images, (self.pad,) * 4)
            # Every possible crop as a view; the index copies one of them for each image.
            windows = padded.unfold(2, height, 1).unfold(3, width, 1)
            images = windows[torch.arange(len(images), device=images.device), :, rows, columns]
        if self.flip:
            images = torch.where(draws["flip"].to(images.device)[:, None, None, None], images.flip(-1), images)
        return images
