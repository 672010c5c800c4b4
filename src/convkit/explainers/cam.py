"""Class activation maps (Zhou et al. 2016, "Learning deep features for discriminative localization", §2)."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the field's own name
from torch.overrides import TorchFunctionMode

from convkit.errors import UserError
from convkit.explainers.base import chosen, output_at, stage_module, subject

_POOLINGS = (F.adaptive_avg_pool2d, F.avg_pool2d, torch.mean, Tensor.mean)


def cam(net: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
    """N×1×h×w: the last maps, each weighted by its connection to the class.

    Its mean over the map, plus the class's bias, is the logit (equation 2). Only for networks whose head is a linear
    layer on globally averaged maps.
    """
    with subject(net, images, targets) as at, torch.no_grad():
        head = stage_module(at.net, "head")
        if not isinstance(head, nn.Linear):
            raise UserError(f"cam needs a linear head, and {type(at.net).__name__} has {type(head).__name__}: grad_cam")
        maps = _averaged(at.net, head, at.images)
        chosen(head(maps.mean((2, 3))), at.targets)  # checks the targets
        weights: Tensor = head.weight[at.targets]
        return (weights[:, :, None, None] * maps).sum(1, keepdim=True)


class _Averages(TorchFunctionMode):
    """Keeps what was averaged over its maps, and the averages."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[Tensor, Tensor]] = []

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func in _POOLINGS and args:
            maps = args[0]
            if maps.ndim == 4 and result.numel() in (maps.shape[0] * maps.shape[1], maps.shape[0] * maps.shape[3]):
                self.found.append((maps, result.flatten(1)))
        return result


def _distance(maps: Tensor, averages: Tensor) -> float:
    same = maps.shape[:2] == averages.shape
    return float((maps.mean((2, 3)) - averages).abs().max()) if same else float("inf")


def _averaged(net: nn.Module, head: nn.Linear, images: Tensor) -> Tensor:
    """The N×K×h×w maps whose averages the head gets."""
    inputs: list[Tensor] = []
    averages = _Averages()
    hook = head.register_forward_pre_hook(lambda module, given: inputs.append(given[0]))
    try:
        with averages:
            output_at(net, images, None)
    finally:
        hook.remove()
    for maps, values in reversed(averages.found):
        if values.shape == inputs[0].shape and torch.equal(values, inputs[0]):
            # N×C×H×W, or N×H×W×C: that of the two which has these averages.
            return min((maps, maps.permute(0, 3, 1, 2)), key=lambda one: _distance(one, values))
    raise UserError(
        f"cam needs a head on globally averaged maps, and {type(net).__name__}'s gets something else; use grad_cam"
    )
