"""Deconvnet (Zeiler & Fergus 2014, "Visualizing and understanding convolutional networks", §2.1).

The way back is autograd's: a convolution's is its transposed filters, a max pooling's puts the signal where the maximum
was (its switches) and adds up where windows overlap, which ``max_unpool2d`` does not. Only rectifiers have another
rule.
"""

import torch
from torch import Tensor, nn

from convkit.explainers.base import chosen, output_at, pixels, subject
from convkit.explainers.rectifiers import deconvnet_rule, rectifiers


def project(net: nn.Module, images: Tensor, stage: str, channels: Tensor, places: Tensor) -> Tensor:
    """One unit of a stage for each image, back to the pixels.

    Args:
        net: a network with stages, wrapped or not.
        images: N×C×H×W, normalised.
        stage: a name of ``net.stages``.
        channels: N channels of that stage's output.
        places: N×2, row and column in it; 0, 0 where it has none.

    Returns:
        N×C×H×W: what the unit's activation, all others zero, becomes on its way back.

    Raises:
        UserError: there is no such stage, channel or place, or no ReLU on the way.
    """
    with subject(net, images, channels) as at:
        leaf, copy = pixels(at.images)
        with rectifiers(deconvnet_rule, "deconvnet"):
            values = chosen(output_at(at.net, copy, stage), at.targets, places.clone())
            return torch.autograd.grad(values, leaf, values.detach())[0]
