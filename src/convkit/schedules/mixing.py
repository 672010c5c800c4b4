"""mixup and CutMix, torchvision's, for a whole batch."""

from collections.abc import Callable
from functools import cache
from typing import Any

from torchvision.transforms.v2 import CutMix, MixUp, RandomChoice


@cache  # a pair of them for each recipe, of which there is one in a fit
def mixing(mixup: float, cutmix: float, num_classes: int) -> Callable[..., Any]:
    """Images and class indices to images and probabilities; of both one, by a coin tossed for the batch.

    Args:
        mixup: α of its beta distribution; 0 is without.
        cutmix: α of its own; one of the two is above 0.
        num_classes: K.
    """
    chosen = [kind(alpha=alpha, num_classes=num_classes) for kind, alpha in ((MixUp, mixup), (CutMix, cutmix)) if alpha]
    either: Callable[..., Any] = RandomChoice(chosen) if len(chosen) > 1 else chosen[0]
    return either
