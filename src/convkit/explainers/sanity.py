"""Does a map speak of the network? (Adebayo et al. 2018, "Sanity checks for saliency maps", §3.1.)

One that hardly changes when the weights are randomised is drawn from the image, as an edge detector's would be.
"""

import copy

import torch
from torch import Tensor, nn

# Spearman's correlation of two maps, without their signs, from which on they count as the same.
UNCHANGED = 0.5


def randomised(net: nn.Module, seed: int = 0) -> nn.Module:
    """A copy with the values of each weight in random order: what was learned is gone, each layer's scale is not.

    Batch statistics and what is a single number stay as they are.
    """
    twin = copy.deepcopy(net)
    draws = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in twin.parameters():
            order = torch.randperm(parameter.numel(), generator=draws).to(parameter.device)
            parameter.copy_(parameter.flatten()[order].view_as(parameter))
    return twin


def rank_correlation(first: Tensor, second: Tensor) -> Tensor:
    """N numbers from -1 to 1: Spearman's, of each pair of maps, pixel by pixel, without signs.

    A map that is the same everywhere, as Grad-CAM's may be zero, has none: 1 where both are that, else 0.
    """
    one, other = (_ranks(maps.detach().abs().flatten(1)) for maps in (first, second))
    one, other = (ranks - ranks.mean(1, keepdim=True) for ranks in (one, other))
    lengths = one.norm(dim=1), other.norm(dim=1)
    empty = (lengths[0] == 0).double() * (lengths[1] == 0)
    product = lengths[0] * lengths[1]
    return torch.where(product > 0, (one * other).sum(1) / product.clamp(min=1e-12), empty)


def _ranks(values: Tensor) -> Tensor:
    """Of each row, equal values sharing the mean of their ranks."""
    rows = []
    for row in values:
        _, places, counts = row.unique(return_inverse=True, return_counts=True)
        last = counts.cumsum(0).double()
        rows.append((last - (counts - 1) / 2)[places])
    return torch.stack(rows)
