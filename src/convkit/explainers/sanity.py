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
    """N numbers from -1 to 1: Spearman's, of each pair of maps, without signs, over the pixels that one of them marks.

    Where both are zero, as most of the image is for a unit that sees little of it, there is nothing to agree on. A
    correlation that does not exist, since a map is the same everywhere, is 1 where both are equal, else 0.
    """
    pairs = zip(first.detach().abs().flatten(1), second.detach().abs().flatten(1), strict=True)
    return torch.stack([_spearman(*pair) for pair in pairs])


def _spearman(first: Tensor, second: Tensor) -> Tensor:
    marked = (first > 0) | (second > 0)
    one, other = (_ranks(values[marked]) for values in (first, second))
    one, other = one - one.mean(), other - other.mean()
    lengths = one.norm() * other.norm()
    return (one * other).sum() / lengths if lengths > 0 else torch.equal(first, second) * torch.ones_like(lengths)


def _ranks(values: Tensor) -> Tensor:
    """From 1 on; equal values share the mean of their ranks."""
    _, places, counts = torch.unique(values, return_inverse=True, return_counts=True)
    last = counts.cumsum(0).double()
    ranks: Tensor = last - (counts - 1) / 2
    return ranks[places]
