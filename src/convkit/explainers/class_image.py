"""The image that a class is strongest for (Simonyan, Vedaldi, Zisserman 2014, §2)."""

import torch
from torch import Tensor, nn

from convkit.errors import UserError
from convkit.explainers.base import chosen, output_at, pixels, subject


def class_image(
    net: nn.Module,
    average: Tensor,
    targets: Tensor,
    *,
    of: str | None = None,
    weight_decay: float = 0.001,
    rate: float = 1.0,
    steps: int = 100,
    jitter: int = 0,
    blur: float = 0.0,
    fourier: bool = False,
    seed: int = 0,
) -> Tensor:
    """N×C×H×W, normalised: argmax S_c(I) − λ‖I‖² by gradient ascent from the data set's average image.

    A step is implicit in the penalty, I ← (I + r·∂S/∂I) / (1 + 2λr), so that no λ makes it diverge; it rests where
    ∂S/∂I = 2λI.

    Args:
        of: a stage: the score is that of a unit of it, not of a class.
        weight_decay: λ.
        rate: r, the length of a step.
        steps: how many.
        jitter: shift the image by up to so many pixels before each step, and back after it (Mordvintsev et al. 2015).
        blur: deviation in pixels of a Gaussian blur after each step (Yosinski et al. 2015).
        fourier: steps in the Fourier basis, frequencies scaled by their inverse (Olah et al. 2017): the same optimum,
            coarse shapes first.
        seed: of the jitter.
    """
    for name, number in (("weight_decay", weight_decay), ("steps", steps), ("jitter", jitter), ("blur", blur)):
        if not number >= 0:
            raise UserError(f"class_image: {name} is 0 or more, not {number}")
    if not rate > 0:
        raise UserError(f"class_image: rate is above 0, not {rate}")
    draws = torch.Generator().manual_seed(seed)
    with subject(net, average, targets) as at:
        found = at.images.clone()
        frequencies = _frequencies(found)
        pace = _pace(frequencies) if fourier else torch.ones((), device=found.device)
        passed = torch.exp(-2 * (torch.pi * blur * frequencies) ** 2)
        for _ in range(steps):
            down, right = torch.randint(-jitter, jitter + 1, (2,), generator=draws).tolist()
            leaf, copy = pixels(found.roll((down, right), (2, 3)))
            values = chosen(output_at(at.net, copy, of), at.targets)
            gradient = torch.autograd.grad(values.sum(), leaf)[0].roll((-down, -right), (2, 3))
            if fourier or blur:
                spectrum = torch.fft.rfft2(found) + rate * pace * torch.fft.rfft2(gradient)
                spectrum = spectrum * passed / (1 + 2 * weight_decay * rate * pace)
                found = torch.fft.irfft2(spectrum, found.shape[2:])
            else:
                found = (found + rate * gradient) / (1 + 2 * weight_decay * rate)
        return found


def _frequencies(images: Tensor) -> Tensor:
    """H×(W/2+1) cycles a pixel, of the coefficients of ``rfft2``."""
    height, width = images.shape[2:]
    rows = torch.fft.fftfreq(height, device=images.device)[:, None]
    return torch.hypot(rows, torch.fft.rfftfreq(width, device=images.device)[None])


def _pace(frequencies: Tensor) -> Tensor:
    """The inverse of each frequency, 1 on average; that of the mean colour is as the lowest one's."""
    lowest = frequencies[frequencies > 0].min()
    inverse = 1 / frequencies.clamp(min=float(lowest))
    return inverse / inverse.mean()
