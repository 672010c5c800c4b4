"""What each feature map of a network makes of some images; and the filters of its first layer."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from convkit.classifier import Classifier
from convkit.convnet import ConvNet
from convkit.datasets.base import ImageData
from convkit.datasets.pictures import Chosen
from convkit.errors import UserError
from convkit.inspection.layers import evaluating
from convkit.inspection.units import Units
from convkit.projections import with_maps
from convkit.taps import taps

AT_ONCE = 16  # images


class Answers(NamedTuple):
    """Of N images the N×C×h×w maps of each stage, and the N classes that the network takes them for."""

    maps: dict[str, Tensor]
    predicted: Tensor


def placed(net: ConvNet, image_shape: tuple[int, int, int], names: Sequence[str] | None, option: str) -> list[str]:
    """The stages that names or patterns stand for; without any, of all those whose units have a place in the image.

    Raises:
        UserError: a name fits no stage; a named stage, or every one, has no such maps.
    """
    found = with_maps(net, image_shape, names, option)
    flat = [stage for stage, units in found.items() if _one(units)]
    if flat and (names is not None or len(flat) == len(found)):
        raise UserError(f"stage {flat[0]} puts out one value a map, and no picture")
    return [stage for stage in found if stage not in flat]


def _one(units: Units) -> bool:
    return units.rows.count == units.columns.count == 1


def answers(model: Classifier, images: Chosen, stages: Sequence[str]) -> Answers:
    """In evaluation mode, on the model's device; what is returned is on the host."""
    device = next(model.parameters()).device
    kept: dict[str, list[Tensor]] = {stage: [] for stage in stages}
    logits = []

    def keep(stage: str, output: Tensor) -> None:
        kept[stage].append(output.cpu().contiguous())

    with evaluating(model), torch.inference_mode(), taps(model.net, stages, keep):
        for part in images.pixels.split(AT_ONCE):  # type: ignore[no-untyped-call]
            logits.append(model(part.to(device)).cpu())
    return Answers({stage: torch.cat(parts) for stage, parts in kept.items()}, torch.cat(logits).argmax(1))


def first_filters(net: ConvNet, data: ImageData) -> Tensor | None:
    """K×C×h×w: the weights of the first convolution on the image; None where there is none."""
    for value in net.parameters():
        if value.ndim == 4 and value.shape[1] == data.image_shape[0]:
            return value.detach().float().cpu()
    return None
