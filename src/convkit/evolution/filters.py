"""A bounded sample of a stage's weights, to tell how far they have come."""

import torch
from torch import Tensor

from convkit.convnet import ConvNet
from convkit.parts import parameters_of, parts

SAMPLE = 65_536  # weights of a stage; the relative distance of so many is that of all within a few thousandths


def filters(net: ConvNet, stage: str) -> Tensor:
    """The weights of the stage's convolutions and dense layers, evenly spaced ones where there are more than the
    sample; float32 on the processor. Biases and normalisations are left out."""
    named = dict(net.named_parameters())
    chosen = [named[name] for name in parameters_of(net, parts(net)[stage]) if named[name].ndim > 1]
    if not chosen:
        return torch.empty(0)
    weights = torch.cat([weight.detach().flatten() for weight in chosen])
    if len(weights) > SAMPLE:
        weights = weights[torch.linspace(0, len(weights) - 1, SAMPLE, dtype=torch.float64).round().long()]
    return weights.float().cpu().clone()
