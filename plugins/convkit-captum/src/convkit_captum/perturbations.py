"""Captum's methods that only look at the score: cells of a grid are covered, alone or many at once."""

import torch
from captum._utils.models.linear_model import SkLearnRidge  # type: ignore[import-untyped]
from captum.attr import FeatureAblation, Lime  # type: ignore[import-untyped]
from torch import Tensor, nn

from convkit import UserError
from convkit_captum.attribution import check, explained, reseed


def feature_ablation(
    net: nn.Module,
    images: Tensor,
    targets: Tensor,
    *,
    of: str | None = None,
    cells: int = 8,
    value: float = 0.0,
    batch_size: int = 64,
) -> Tensor:
    """N×1×H×W: what the score loses where one cell of a grid is covered.

    Occlusion (Zeiler & Fergus 2014, §4.2) whose windows do not overlap.

    Args:
        of: a stage: the score is that of a unit of it, not of a class.
        cells: of the grid, along the shorter side; they are squares but for rounding.
        value: of the normalised pixels of a covered cell; 0 is the data set's mean colour.
        batch_size: images at once.
    """
    check("feature_ablation", cells=(cells, 1), batch_size=(batch_size, 1))
    with explained(net, images, targets, of) as (at, score), torch.no_grad():
        mask = grid(at.images, cells)
        method, found = FeatureAblation(score), []
        for start in range(0, len(at.images), batch_size):
            part = slice(start, start + batch_size)
            few = len(at.images[part])
            lost = method.attribute(
                at.images[part],
                baselines=value,
                feature_mask=mask,
                additional_forward_args=(at.targets[part],),
                perturbations_per_eval=max(1, batch_size // few),
            )
            found.append(lost[:, :1])
        return torch.cat(found).detach() if found else at.images[:, :1]


def lime(
    net: nn.Module,
    images: Tensor,
    targets: Tensor,
    *,
    of: str | None = None,
    cells: int = 8,
    samples: int = 500,
    penalty: float = 1.0,
    value: float = 0.0,
    batch_size: int = 64,
    seed: int = 0,
) -> Tensor:
    """N×1×H×W: a linear model's weight for each cell of a grid, fitted to the score where half of the cells is covered.

    LIME (Ribeiro, Singh, Guestrin 2016, §3.4) with squares for superpixels, and the ridge regression of its published
    code.

    Args:
        of: a stage: the score is that of a unit of it, not of a class.
        cells: of the grid, along the shorter side; they are squares but for rounding.
        samples: covered copies of each image; a good deal more than the grid has cells.
        penalty: α, of the squared weights.
        value: of the normalised pixels of a covered cell; 0 is the data set's mean colour.
        batch_size: images at once.
        seed: of what is covered, the same for every image.
    """
    check("lime", cells=(cells, 1), samples=(samples, 1), penalty=(penalty, 0), batch_size=(batch_size, 1))
    with explained(net, images, targets, of) as (at, score), torch.no_grad():
        mask = grid(at.images, cells)
        if samples <= int(mask.max()) + 1:
            raise UserError(f"lime: samples is more than the grid's {int(mask.max()) + 1} cells, not {samples}")
        found = []
        for image, wanted in zip(torch.split(at.images, 1), torch.split(at.targets, 1), strict=True):
            reseed(image.device, seed)
            weights = Lime(score, interpretable_model=SkLearnRidge(alpha=penalty)).attribute(
                image,
                baselines=value,
                feature_mask=mask,
                additional_forward_args=(wanted,),
                n_samples=samples,
                perturbations_per_eval=batch_size,
            )
            found.append(weights[:, :1])
        return torch.cat(found).detach().to(at.images.dtype) if found else at.images[:, :1]


def grid(images: Tensor, cells: int) -> Tensor:
    """1×C×H×W indices from 0 of the cell that each pixel lies in; the colours of a pixel share one.

    Raises:
        UserError: more cells than pixels.
    """
    channels, height, width = images.shape[1:]
    shorter = min(height, width)
    if cells > shorter:
        raise UserError(f"cells is at most the image's {shorter} pixels, not {cells}")
    across = [round(cells * side / shorter) for side in (height, width)]
    rows, columns = (
        torch.arange(side, device=images.device) * count // side
        for side, count in zip((height, width), across, strict=True)
    )
    return (rows[:, None] * across[1] + columns).expand(1, channels, height, width)
