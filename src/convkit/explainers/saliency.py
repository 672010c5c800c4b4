"""Saliency (Simonyan, Vedaldi, Zisserman 2014, "Deep inside convolutional networks", §3)."""

from torch import Tensor, nn

from convkit.explainers.base import input_gradient, subject


def saliency(net: nn.Module, images: Tensor, targets: Tensor, *, of: str | None = None) -> Tensor:
    """N×1×H×W: the largest over the colour channels of |∂S_c/∂I|, S_c the class's logit.

    Args:
        of: a stage: the score is that of a unit of it, not of a class.
    """
    with subject(net, images, targets) as at:
        return input_gradient(at, of).abs().amax(1, keepdim=True)
