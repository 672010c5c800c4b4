"""The deconvnet as an explainer: of classes, or of each image's strongest unit of a feature map."""

import torch
from torch import Tensor, nn

from convkit.explainers.base import chosen, output_at, pixels, subject
from convkit.explainers.rectifiers import deconvnet_rule, rectifiers


def deconvnet(net: nn.Module, images: Tensor, targets: Tensor, *, of: str | None = None) -> Tensor:
    """N×C×H×W: what excited a class or a unit, projected to pixels (Zeiler & Fergus 2014, §2.1).

    Args:
        of: a stage: targets are its channels, and its unit's activation is what goes back. For a class, 1 goes back:
            a logit may be negative, and would come to nothing.
    """
    with subject(net, images, targets) as at:
        leaf, copy = pixels(at.images)
        with rectifiers(deconvnet_rule, "deconvnet"):
            values = chosen(output_at(at.net, copy, of), at.targets)
            signal = values.detach() if of else torch.ones_like(values)
            return torch.autograd.grad(values, leaf, signal)[0]
