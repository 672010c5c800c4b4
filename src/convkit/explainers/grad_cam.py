"""Grad-CAM (Selvaraju et al. 2017, "Grad-CAM: visual explanations from deep networks", §3)."""

import torch
from torch import Tensor, nn

from convkit.convnet import ConvNet, as_outputs
from convkit.errors import UserError
from convkit.explainers.base import chosen, stage_module, subject


def grad_cam(net: nn.Module, images: Tensor, targets: Tensor, *, stage: str | None = None) -> Tensor:
    """N×1×h×w, the size of the stage's maps: where they speak for the class.

    The maps are added up, each by the mean of the class's gradient over it, and rectified (equations 1 and 2).

    Args:
        stage: whose maps; by default the last stage that has some.
    """
    with subject(net, images, targets) as at:
        logits, maps = _graph_above(at.net, at.images, stage)
        (gradient,) = torch.autograd.grad(chosen(logits, at.targets).sum(), maps, allow_unused=True)
        if gradient is None:
            raise UserError(f"the logits of {type(at.net).__name__} do not depend on stage {stage}")
        weights = gradient.mean((2, 3), keepdim=True)
        return (weights * maps.detach()).sum(1, keepdim=True).relu()


def _graph_above(net: nn.Module, images: Tensor, stage: str | None) -> tuple[Tensor, Tensor]:
    """Logits, and the stage's maps that they were computed from, with a graph of nothing but that part.

    Which stage is the last with maps shows when the next one has none: the graph begins anew at each.
    """
    found: list[Tensor] = []

    def begin(module: nn.Module, inputs: object, output: object) -> Tensor | None:
        if not isinstance(output, Tensor) or output.ndim != 4:
            return None
        found[:] = [output.detach().requires_grad_()]
        torch.set_grad_enabled(True)
        return found[0].clone()  # the next layer may work in place

    stages = [stage] if stage else list(net.stages) if isinstance(net, ConvNet) else []
    hooks = [stage_module(net, name).register_forward_hook(begin) for name in stages]
    try:
        with torch.no_grad():
            logits = as_outputs(net(images)).logits
    finally:
        for hook in hooks:
            hook.remove()
    if not found:
        where = f"stage {stage}" if stage else f"no stage of {type(net).__name__}"
        raise UserError(f"grad_cam needs N×C×H×W maps, and {where} puts {'none ' if stage else 'some '}out")
    return logits, found[0]
