"""Occlusion (Zeiler & Fergus 2014, §4.2): cover a part of the image, and see what the score loses."""

from itertools import product

import torch
from torch import Tensor, nn

from convkit.errors import UserError
from convkit.explainers.base import chosen, output_at, subject


def occlusion(
    net: nn.Module,
    images: Tensor,
    targets: Tensor,
    *,
    of: str | None = None,
    size: int = 0,
    stride: int = 0,
    value: float = 0.0,
    batch_size: int = 64,
) -> Tensor:
    """N×1×H×W: what the logit loses where a pixel is covered, the mean over all windows that cover it.

    Args:
        of: a stage: the score is that of a unit of it, not of a class.
        size: side of the window in pixels; by default an eighth of the image's shorter side.
        stride: from one window to the next; by default half of its side. The last one ends with the image.
        value: of the normalised pixels of a covered part; 0 is the data set's mean colour.
        batch_size: images at once.
    """
    height, width = images.shape[-2:]
    size = size or max(1, min(height, width) // 8)
    stride = stride or max(1, size // 2)
    if not 1 <= size <= min(height, width) or not 1 <= stride <= size or batch_size < 1:
        raise UserError(
            f"occlusion needs a size of 1 to {min(height, width)} pixels, a stride of 1 to size, a batch_size from 1 "
            f"on; not {size}, {stride}, {batch_size}"
        )
    with subject(net, images, targets) as at, torch.no_grad():

        def scores(batch: Tensor, targets: Tensor) -> Tensor:
            return chosen(output_at(at.net, batch, of), targets)

        parts = zip(torch.split(at.images, batch_size), torch.split(at.targets, batch_size), strict=True)
        whole = torch.cat([scores(*part) for part in parts])
        windows = list(product(_starts(height, size, stride), _starts(width, size, stride)))
        lost, covers = (at.images.new_zeros(len(images), 1, height, width) for _ in range(2))
        every = torch.cartesian_prod(torch.arange(len(images)), torch.arange(len(windows)))
        for pairs in torch.split(every, batch_size):
            rows = pairs[:, 0].to(at.images.device)
            batch = at.images[rows]
            places = [windows[index] for index in pairs[:, 1].tolist()]
            for image, (top, left) in zip(batch, places, strict=True):
                image[:, top : top + size, left : left + size] = value
            losses = whole[rows] - scores(batch, at.targets[rows])
            for row, (top, left), loss in zip(pairs[:, 0].tolist(), places, losses, strict=True):
                lost[row, 0, top : top + size, left : left + size] += loss
                covers[row, 0, top : top + size, left : left + size] += 1
        return lost / covers


def _starts(length: int, size: int, stride: int) -> list[int]:
    """Where windows begin along an axis; together they cover all of it."""
    starts = [*range(0, length - size + 1, stride)]
    return starts if starts[-1] == length - size else [*starts, length - size]
