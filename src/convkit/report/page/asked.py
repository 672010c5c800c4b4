"""What a page asks of the network itself: the pictures behind a confusion, top patches, explanations, layers."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from convkit import plugins
from convkit.analyses.patches import Found, pictures, search
from convkit.convnet import ConvNet
from convkit.datasets.base import ImageData
from convkit.errors import UserError
from convkit.explainers.options import makes_its_image
from convkit.inspection.layers import inspect
from convkit.projections import unprojectable, with_maps
from convkit.report.maps import overlay, picture
from convkit.report.page.cards import Explanation, Layer, Patches, card
from convkit.report.page.pictures import inline, pixels, tiled
from convkit.report.page.pictures import projected as scaled
from convkit.run import Run
from convkit.sizes import times

MOST = 6  # pictures behind a cell
CELLS = 160  # with pictures, confusions first
THUMBNAIL = 72  # pixels
MAPS, TOP = 24, 9  # of a stage that get top patches, and how many of each
EXPLAINED, EXPLAINED_SIDE = 8, 128  # images, pixels
Behind = dict[tuple[int, int], list[tuple[float, Image.Image]]]


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
    """For each cell of the confusion matrix some of its images: of a confusion those that were confused with the
    highest probability, of what is right those that barely were.

    Args:
        run: with its checkpoint, in evaluation.
        split: ``val`` or ``test``.

    Returns:
        By (true, taken for): probability of what it was taken for and thumbnail, the most telling first.

    Raises:
        UserError: no probability is finite.
    """
    model, data = run.model, run.data
    mean, std = (torch.tensor(values)[:, None, None] for values in (data.mean, data.std))
    kept: dict[tuple[int, int], list[tuple[float, Tensor]]] = {}
    counts: Counter[tuple[int, int]] = Counter()
    for images, targets in data.evaluation(split):
        certain, taken = (each.tolist() for each in model(images.to(model.device)).softmax(1).max(1))
        shown = images if images.ndim == 4 else images[:, 0]  # of ten crops the first
        for index, place in enumerate(zip(targets.tolist(), taken, strict=True)):
            if not math.isfinite(certain[index]):  # of a network that diverged
                continue
            counts[place] += 1
            cell, telling = kept.setdefault(place, []), certain[index] * (1 if place[0] != place[1] else -1)
            if len(cell) < MOST or telling > cell[-1][0]:
                cell.append((telling, shown[index].cpu()))
                cell.sort(key=lambda each: -each[0])
                del cell[MOST:]
    if not kept:
        raise UserError("the network puts out nothing that is finite")
    most = sorted(kept, key=lambda place: (place[0] == place[1], -counts[place], place))[:CELLS]
    return {
        place: [(abs(sure), _thumbnail((image * std + mean).clamp(0, 1))) for sure, image in kept[place]]
        for place in most
    }


def _thumbnail(image: Tensor, side: int = THUMBNAIL) -> Image.Image:
    """Of its own proportions; small ones keep their pixels."""
    made = Image.fromarray(pixels(image.cpu().numpy())).convert("RGB" if len(image) == 3 else "L")
    made.thumbnail((side, side), Image.Resampling.LANCZOS)
    return made


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


def explanation(run: Run, method: str, split: str) -> Explanation:
    """An explainer over eight images; of one that makes its own, over eight classes."""
    makes = makes_its_image(
        plugins.load(plugins.at("explainer", method) if "." in method else plugins.find("explainer", method))
    )
    found = run.explain(method, split=None if makes else split, count=EXPLAINED)
    cards = []
    for index, name in enumerate(found.names):
        values, image = found.maps[index], found.images[index]
        pictures = [(f"{method}: the map", picture(values))]
        if not found.synthetic:
            pictures = [("the image", image), (f"{method}: the map over the image", overlay(image, values))]
        shown = [(text, inline(_thumbnail(each, EXPLAINED_SIDE))) for text, each in pictures]
        label, target = found.labels[index], found.targets[index]
        cards.append(card(label, name, found.predicted[index], target, found.scores[index].item(), shown))
    return Explanation(method + (f" · {found.stage}" if found.stage else ""), cards)


def top_patches(run: Run, stage: str | None, split: str) -> list[Patches]:
    """The images that excite most the first maps of some stages (names or patterns with commas), by default of the last
    that has feature maps.

    Raises:
        UserError: there is no such stage, none with feature maps, or none of its first maps is ever active.
    """
    net, shape = run.model.net, run.data.image_shape
    units = with_maps(net, shape, [name.strip() for name in stage.split(",")] if stage else None, "--patches")
    chosen = [*units] if stage else [*units][-1:]
    found = search(run.model, run.data, chosen, TOP, split, lambda done: None)
    return [_patches(run, one, split) for one in found.values()]


def _patches(run: Run, found: Found, split: str) -> Patches:
    stage = found.units.stage
    projected = not unprojectable(run.model.net, run.data.image_shape, stage)
    # A map that was never a number, of a network that diverged, has no image.
    maps = (found.strongest.images[:MAPS] >= 0).any(1).nonzero()[:, 0].tolist()
    if not maps:
        raise UserError(f"no map of {stage} is active at any image of {split}")
    rows, labels = [], []
    for seen in pictures(run.model, run.data, found, maps, split, projected):
        inside = seen.seen.numpy()
        row = [pixels(patch, where) for patch, where in zip(seen.patches.numpy(), inside, strict=True)]
        empty = [np.zeros_like(row[0])] * (TOP - len(row))  # there are fewer images
        ways = [] if seen.projections is None else [
            pixels(scaled(way), where) for way, where in zip(seen.projections.numpy(), inside, strict=True)
        ] + empty  # fmt: skip
        rows.append(row + empty + ways)
        strongest = found.strongest.values[seen.channel, 0].item()
        labels.append(f"map {seen.channel} · " + (f"{strongest:.3g}" if strongest > 0 else "never active"))
    return Patches(stage, split, labels, TOP, projected, tiled(rows))


def each_or_why(asked: Sequence[tuple[str, Callable[[], Any]]], notes: list[str]) -> Iterator[tuple[str, Any]]:
    """What each of these gives; one that cannot be had is among the notes, and the page goes without."""
    for name, function in asked:
        try:
            yield name, function()
        except Exception as error:  # whatever it is, the rest of the page is there
            said = " ".join(str(error).split())
            known = isinstance(error, (UserError, RuntimeError, OSError)) and said
            notes.append(f"{name}: {said if known else f'{type(error).__name__}: {said}'}")
