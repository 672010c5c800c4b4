"""Captum's methods that follow the gradient: along a path, through noise, from drawn baselines."""

from typing import Literal, get_args

import torch
from captum.attr import GradientShap, IntegratedGradients, NoiseTunnel, Saliency  # type: ignore[import-untyped]
from torch import Tensor, nn

from convkit import UserError
from convkit.errors import did_you_mean
from convkit_captum.attribution import check, explained, reseed

Kind = Literal["smoothgrad", "smoothgrad_sq", "vargrad"]
Method = Literal["saliency", "integrated_gradients"]


def integrated_gradients(
    net: nn.Module,
    images: Tensor,
    targets: Tensor,
    *,
    of: str | None = None,
    steps: int = 50,
    value: float = 0.0,
    batch_size: int = 64,
) -> Tensor:
    """N×C×H×W: the gradient's mean on the straight way from a plain image, times the difference from it.

    Its sum is what the score gains on that way (Sundararajan, Taly, Yan 2017, §3): Gauss-Legendre's rule.

    Args:
        of: a stage: the score is that of a unit of it, not of a class.
        steps: points on the way.
        value: of the plain image's normalised pixels; 0 is the data set's mean colour.
        batch_size: images at once.
    """
    check("integrated_gradients", steps=(steps, 1), batch_size=(batch_size, 1))
    with explained(net, images, targets, of) as (at, score):
        method = IntegratedGradients(score)
        found = [
            method.attribute(
                image,
                baselines=value,
                additional_forward_args=(wanted,),
                n_steps=steps,
                internal_batch_size=batch_size,
            )
            for image, wanted in _each(at.images, at.targets)
        ]
        return _joined(found, at.images)


def noise_tunnel(
    net: nn.Module,
    images: Tensor,
    targets: Tensor,
    *,
    of: str | None = None,
    kind: Kind = "smoothgrad",
    method: Method = "saliency",
    samples: int = 25,
    noise: float = 0.15,
    steps: int = 20,
    batch_size: int = 64,
    seed: int = 0,
) -> Tensor:
    """N×C×H×W: a gradient method over noisy copies of each image (Smilkov et al. 2017, §3).

    Args:
        of: a stage: the score is that of a unit of it, not of a class.
        kind: ``smoothgrad`` is the mean, ``smoothgrad_sq`` the mean square, ``vargrad`` the variance (Adebayo et al.
            2018).
        method: of which: ``saliency``, the gradient with its sign, or ``integrated_gradients`` from the mean colour.
        samples: noisy copies of each image.
        noise: deviation of the noise, as a share of what lies between the image's least and greatest value.
        steps: of integrated gradients.
        batch_size: images at once.
        seed: of the noise, the same for every image.
    """
    for name, word, known in (("kind", kind, get_args(Kind)), ("method", method, get_args(Method))):
        if word not in known:
            raise UserError(f"noise_tunnel has no {name} {word!r}{did_you_mean(word, known)}")
    check("noise_tunnel", samples=(samples, 1), noise=(noise, 0), steps=(steps, 1), batch_size=(batch_size, 1))
    with explained(net, images, targets, of) as (at, score):
        inner = {"saliency": Saliency, "integrated_gradients": IntegratedGradients}[method](score)
        own = {"abs": False} if method == "saliency" else {"n_steps": steps, "internal_batch_size": batch_size}
        tunnel, found = NoiseTunnel(inner), []
        for image, wanted in _each(at.images, at.targets):
            reseed(image.device, seed)
            found.append(
                tunnel.attribute(
                    image,
                    nt_type=kind,
                    nt_samples=samples,
                    nt_samples_batch_size=batch_size,
                    stdevs=noise * float(image.detach().max() - image.detach().min()),
                    additional_forward_args=(wanted,),
                    **own,
                )
            )
        return _joined(found, at.images)


def gradient_shap(
    net: nn.Module,
    images: Tensor,
    targets: Tensor,
    *,
    of: str | None = None,
    samples: int = 50,
    baselines: int = 50,
    noise: float = 0.0,
    seed: int = 0,
) -> Tensor:
    """N×C×H×W: the expectation of integrated gradients over plain images of random colours.

    The estimate of SHAP values by Lundberg & Lee 2017 (Erion et al. 2021, §3). An explainer has no training images to
    draw from; each baseline is of one colour, drawn from the standard normal distribution that normalised values have.

    Args:
        of: a stage: the score is that of a unit of it, not of a class.
        samples: points, each on the way from a baseline of its own.
        baselines: how many to draw them from.
        noise: deviation of noise on the image, in normalised values.
        seed: of all draws, the same for every image.
    """
    check("gradient_shap", samples=(samples, 1), baselines=(baselines, 1), noise=(noise, 0))
    with explained(net, images, targets, of) as (at, score):
        method, found = GradientShap(score), []
        for image, wanted in _each(at.images, at.targets):
            reseed(image.device, seed)
            colours = torch.randn(baselines, image.shape[1], 1, 1).to(image.device, image.dtype)
            found.append(
                method.attribute(
                    image,
                    baselines=colours.expand(-1, -1, *image.shape[2:]).contiguous(),
                    n_samples=samples,
                    stdevs=noise,
                    additional_forward_args=(wanted,),
                )
            )
        return _joined(found, at.images)


def _each(images: Tensor, targets: Tensor) -> list[tuple[Tensor, Tensor]]:
    """One by one, ready for gradients: so that a map does not depend on the images beside it."""
    return [(images[i : i + 1].clone().requires_grad_(), targets[i : i + 1]) for i in range(len(images))]


def _joined(found: list[Tensor], like: Tensor) -> Tensor:
    return torch.cat([each.detach() for each in found]).to(like.dtype) if found else torch.zeros_like(like)
