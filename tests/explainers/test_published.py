"""The figures that captum publishes for its one-convolution test model."""

import pytest
import torch
from nets import one_convolution

from convkit.explainers.deconvolution import deconvnet
from convkit.explainers.grad_cam import grad_cam
from convkit.explainers.guided_backprop import guided_backprop
from convkit.explainers.saliency import saliency

IMAGE = torch.arange(16.0).view(1, 1, 4, 4)
FOUND = {
    deconvnet: [[2, 3, 3, 1], [3, 5, 5, 2], [3, 5, 5, 2], [1, 2, 2, 1]],
    guided_backprop: [[0, 1, 1, 1], [1, 3, 3, 2], [1, 3, 3, 2], [1, 2, 2, 1]],
}


@pytest.mark.parametrize("explainer", [deconvnet, guided_backprop])
def test_pixels(explainer) -> None:
    found = explainer(one_convolution(), IMAGE, torch.tensor([0]))
    assert found[0, 0].tolist() == FOUND[explainer]


def test_grad_cam_at_the_convolution() -> None:
    found = grad_cam(one_convolution(), IMAGE, torch.tensor([0]), stage="conv1")
    assert found[0, 0].tolist() == [[11.25, 13.5], [20.25, 22.5]]


def test_saliency_by_hand() -> None:
    """Window sums 45, 54, 81, 90, less 50: the first map's last three windows pass, each with weight 1. Less 75: the
    second's last two, both with weight -1, and its first of weight 1 does not. They cancel but for the upper right."""
    found = saliency(one_convolution(), IMAGE, torch.tensor([0]))
    assert found[0, 0].tolist() == [[0, 1, 1, 1]] * 3 + [[0, 0, 0, 0]]
