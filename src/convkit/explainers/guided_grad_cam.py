"""Guided Grad-CAM (Selvaraju et al. 2017, §3.1): fine detail, where it speaks for the class."""

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the field's own name

from convkit.explainers.grad_cam import grad_cam
from convkit.explainers.guided_backprop import guided_backprop


def guided_grad_cam(net: nn.Module, images: Tensor, targets: Tensor, *, stage: str | None = None) -> Tensor:
    """N×C×H×W: guided backpropagation times Grad-CAM, enlarged bilinearly.

    Args:
        stage: whose maps Grad-CAM adds up; by default the last stage that has some.
    """
    detail = guided_backprop(net, images, targets)
    place = grad_cam(net, images, targets, stage=stage)
    return detail * F.interpolate(place, detail.shape[2:], mode="bilinear")
