"""What a page asks of the network itself: the pictures behind a confusion, top patches, explanations, layers."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor

from convkit.analyses.patches import pictures, search
from convkit.convnet import ConvNet
from convkit.datasets.base import ImageData
from convkit.errors import UserError
from convkit.inspection.layers import inspect
from convkit.projections import unprojectable, with_maps
from convkit.report.features import Block, patches_page
from convkit.report.maps import contact_sheet
from convkit.report.sheet import tile
from convkit.run import Run
from convkit.sizes import times

MOST = 6  # pictures behind a cell
CELLS = 120  # with pictures
THUMBNAIL = 72  # pixels
MAPS = 24  # of a stage that get top patches
Behind = dict[tuple[int, int], list[tuple[float, Image.Image]]]


class Layer(NamedTuple):
    """A row of the table of layers, as text."""

    name: str
    type: str
    output: str
    parameters: str
    macs: str
    sees: str


def layers(net: ConvNet, image_shape: tuple[int, int, int]) -> list[Layer]:
    """One a layer that computes: ``convkit inspect`` of the run's own network."""
    return [
        Layer(
            row.name,
            row.type,
            times(row.output_shape),
            f"{row.parameters:,}" if row.parameters else "",
            f"{row.macs / 1e6:,.2f}" if row.macs else "",
            _sees(row.receptive_field, row.whole_image),
        )
        for row in inspect(net, image_shape).layers
    ]


def _sees(field: tuple[float, float] | None, whole: bool) -> str:
    return "image" if whole else "?" if field is None else times(tuple(int(side) for side in field))


@torch.no_grad()
def behind(run: Run, split: str) -> Behind:
    """For each confusion of two classes the images that were confused with the highest probability.

    Args:
        run: with its checkpoint, in evaluation.
        split: ``val`` or ``test``.

    Returns:
        By (true, taken for): probability and thumbnail, the most certain first.
    """
    model, data = run.model, run.data
    mean, std = (torch.tensor(values)[:, None, None] for values in (data.mean, data.std))
    kept: dict[tuple[int, int], list[tuple[float, Tensor]]] = {}
    for images, targets in getattr(data, f"{split}_dataloader")():
        on_device = images.to(model.device)
        certain, taken = model(on_device).softmax(1).max(1)
        shown = images if images.ndim == 4 else images[:, 0]  # of ten crops the first
        for index in (taken.cpu() != targets.cpu()).nonzero().flatten().tolist():
            cell = kept.setdefault((int(targets[index]), int(taken[index])), [])
            cell.append((certain[index].item(), (shown[index].cpu() * std + mean).clamp(0, 1)))
            cell.sort(key=lambda each: -each[0])
            del cell[MOST:]
    most = sorted(kept, key=lambda cell: -len(kept[cell]))[:CELLS]
    return {cell: [(probability, _thumbnail(image)) for probability, image in kept[cell]] for cell in most}


def _thumbnail(image: Tensor) -> Image.Image:
    return tile(image, min(THUMBNAIL, max(image.shape[1:])))


def ready(run: Run) -> ImageData:
    """The run's data, set up.

    Raises:
        UserError: it is not here any more.
    """
    data = run.data
    data.prepare_data()
    data.setup("fit")
    data.setup("test")
    if torch.cuda.is_available():
        run.model.cuda()
    return data


def explanation(run: Run, method: str, split: str) -> Image.Image:
    """The sheet of an explainer over eight images."""
    return contact_sheet(run.explain(method, split=split, count=8))


def top_patches(run: Run, stage: str | None, split: str) -> tuple[str, Image.Image]:
    """A stage's name, by default the last that has feature maps, and the images that excite its first maps most.

    Raises:
        UserError: there is no such stage, or none with feature maps.
    """
    net, shape = run.model.net, run.data.image_shape
    units = with_maps(net, shape, [stage] if stage else None, "--patches")
    last = [*units][-1]
    found = search(run.model, run.data, [last], 9, split, lambda done: None)[last]
    maps = range(min(MAPS, found.units.maps))
    projected = not unprojectable(net, shape, last)
    blocks = [Block(f"map {seen.channel}", seen.patches, seen.projections, seen.seen)
              for seen in pictures(run.model, run.data, found, maps, split, projected)]  # fmt: skip
    return last, patches_page(blocks, f"{last}: the strongest of the {split} images")


def each_or_why(asked: Sequence[tuple[str, Callable[[], Any]]], notes: list[str]) -> Iterator[tuple[str, Any]]:
    """What each of these gives; one that cannot be had is among the notes, and the page goes without."""
    for name, function in asked:
        try:
            yield name, function()
        except (UserError, RuntimeError, OSError) as error:
            notes.append(f"{name}: {' '.join(str(error).split())}")
