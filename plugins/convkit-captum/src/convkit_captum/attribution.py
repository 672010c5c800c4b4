"""What captum's methods get: the network as a function of images, and draws that nobody else misses."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from convkit import UserError
from convkit.explainers.base import Subject, chosen, output_at, subject

Score = Callable[[Tensor, Tensor], Tensor]


@contextmanager
def explained(
    net: nn.Module, images: Tensor, targets: Tensor, of: str | None, seed: int = 0
) -> Iterator[tuple[Subject, Score]]:
    """The subject, and the score of each of N images for its target: a logit, or a unit of the stage ``of``.

    Captum draws from torch's and from numpy's own generators; those of torch the subject puts back, numpy's is put
    back here.

    Raises:
        UserError: an image, a target or a stage does not fit.
    """
    with subject(net, images, targets) as at, _numpy_put_back():
        reseed(at.images.device, seed)

        def score(batch: Tensor, wanted: Tensor) -> Tensor:
            # A copy: a first layer may work in place on what captum wants the gradient of.
            return chosen(output_at(at.net, batch.clone(), of), wanted)

        if len(at.images):  # a stage or a target that is not there is told before captum begins
            with torch.no_grad():
                first = output_at(at.net, at.images[:1].clone(), of)
                chosen(first.expand(len(at.images), *first.shape[1:]), at.targets)
        yield at, score


def reseed(device: torch.device, seed: int) -> None:
    """Seeds numpy and torch, on the processor and on ``device``; no other device's generator moves."""
    np.random.seed(seed)
    torch.default_generator.manual_seed(seed)
    if device.type != "cpu":
        torch.get_device_module(device).manual_seed(seed)


@contextmanager
def _numpy_put_back() -> Iterator[None]:
    before = np.random.get_state()
    try:
        yield
    finally:
        np.random.set_state(before)


def check(method: str, **least: tuple[float, float]) -> None:
    """Refuse options below their least values, each given as (value, least).

    Raises:
        UserError: names the method and the option.
    """
    for name, (value, smallest) in least.items():
        if not smallest <= value < float("inf"):
            raise UserError(f"{method}: {name} is {smallest} or more, not {value}")
