"""Grad-CAM (Selvaraju et al. 2017, "Grad-CAM: visual explanations from deep networks", §3)."""

from collections.abc import Sequence
from functools import partial
from weakref import WeakKeyDictionary

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
        logits, last, maps = _graph_above(at.net, at.images, stage)
        (gradient,) = torch.autograd.grad(chosen(logits, at.targets).sum(), maps, allow_unused=True)
        if gradient is None:
            raise UserError(f"the logits of {type(at.net).__name__} do not depend on stage {stage}")
        assert isinstance(at.net, ConvNet)  # it has stages
        gradient, maps = (at.net.maps(last, tensor.detach()) for tensor in (gradient, maps))
        weights = gradient.mean((2, 3), keepdim=True)
        return (weights * maps).sum(1, keepdim=True).relu()


# Of each network the stage that had the last maps when that was found out.
_LAST: WeakKeyDictionary[nn.Module, str] = WeakKeyDictionary()


def _graph_above(net: nn.Module, images: Tensor, stage: str | None) -> tuple[Tensor, str, Tensor]:
    """Logits, the stage, and its maps as it put them out, with a graph of nothing but what lies between.

    Which stage is the last with maps shows when the next one has none: the graph begins anew at each, the next time
    not below the one that was found.
    """
    stages = [stage] if stage else list(net.stages) if isinstance(net, ConvNet) else []
    known = _LAST.get(net)
    logits, found = _begun(net, images, stages[stages.index(known) :] if known in stages else stages)
    if not found and known in stages:  # the network is not what it was
        logits, found = _begun(net, images, stages)
    if not found:
        where = f"stage {stage}" if stage else f"no stage of {type(net).__name__}"
        raise UserError(f"grad_cam needs N×C×H×W maps, and {where} puts {'none ' if stage else 'some '}out")
    last, maps = found[-1]
    if not stage:
        _LAST[net] = last
    return logits, last, maps


def _begun(net: nn.Module, images: Tensor, stages: Sequence[str]) -> tuple[Tensor, list[tuple[str, Tensor]]]:
    """Logits, and the last of these stages with maps, where the graph begins; nothing where none has any."""
    found: list[tuple[str, Tensor]] = []

    def begin(name: str, module: nn.Module, inputs: object, output: object) -> Tensor | None:
        if not isinstance(output, Tensor) or output.ndim != 4:
            return None
        maps = output.detach().requires_grad_()
        found[:] = [(name, maps)]
        torch.set_grad_enabled(True)
        return maps.clone()  # the next layer may work in place

    hooks = [stage_module(net, name).register_forward_hook(partial(begin, name)) for name in stages]
    try:
        with torch.no_grad():
            return as_outputs(net(images)).logits, found
    finally:
        for hook in hooks:
            hook.remove()
