"""Guided backpropagation (Springenberg et al. 2015, "Striving for simplicity: the all convolutional net", §3.4)."""

from torch import Tensor, nn

from convkit.explainers.base import input_gradient, subject
from convkit.explainers.rectifiers import guided_rule, rectifiers


def guided_backprop(net: nn.Module, images: Tensor, targets: Tensor, *, of: str | None = None) -> Tensor:
    """N×C×H×W: the gradient with a negative signal stopped at every ReLU.

    Args:
        of: a stage: the score is that of a unit of it, not of a class.
    """
    with subject(net, images, targets) as at, rectifiers(guided_rule, "guided_backprop"):
        return input_gradient(at, of)
