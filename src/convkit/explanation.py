"""A trained network's images explained: which images, which classes or units, which maps, and with what score."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from convkit import plugins
from convkit.convnet import ConvNet
from convkit.datasets.base import ImageData
from convkit.datasets.pictures import COUNT, Chosen, choose
from convkit.errors import UserError
from convkit.explainers.base import chosen, last_maps, output_at, subject
from convkit.explainers.options import arguments, makes_its_image, takes
from convkit.explainers.sanity import randomised, rank_correlation

BATCH = 16  # images at once


class Explained(NamedTuple):
    """Maps and what they are of; lists and tensors have one entry an image.

    ``images`` are from 0 to 1; ``maps`` as the explainer gives them; ``scores`` the target's logit, or its unit's
    activation; ``places`` where in its split an image is. With sanity checks, ``random_maps`` are of the network with
    randomised weights, and ``correlations`` Spearman's of both.
    """

    method: str
    options: dict[str, Any]
    stage: str | None
    unit: int | None
    names: list[str]
    images: Tensor
    maps: Tensor
    labels: list[str | None]
    predicted: list[str]
    targets: list[str]
    scores: Tensor
    places: list[int] | None = None
    random_maps: Tensor | None = None
    correlations: Tensor | None = None
    synthetic: bool = False  # the explainer made its own image, of a class


def explain(
    net: ConvNet,
    data: ImageData,
    method: str,
    images: Sequence[str | Path] = (),
    *,
    split: str | None = None,
    count: int | None = None,
    seed: int | None = None,
    target: str | int | None = None,
    stage: str | None = None,
    unit: int | None = None,
    sanity: bool = False,
    options: Mapping[str, Any] | None = None,
) -> Explained:
    """Maps of an explainer for files, or for ``count`` images of a split (16), spread over its classes by ``seed`` (0).

    Args:
        net: in whatever mode and on whatever device; it stays so.
        data: set up here if it is not.
        method: an explainer's short name or path.
        images: files; or else ``split``, ``val`` by default.
        target: ``predicted`` (default), ``label``, or a class by its name or number.
        stage: the stage whose maps are used, by default the last that has some, or that ``unit`` is one of.
        unit: a channel of ``stage`` to explain in place of a class.
        sanity: do it again with randomised weights.
        options: the explainer's own; values may be text.

    Raises:
        UserError: whatever of this does not exist or does not fit.
    """
    function = plugins.load(plugins.meant("explainer", method))
    given = arguments(function, method, stage, unit, options or {})
    data.prepare_data()
    data.setup("fit")
    data.setup("test")
    if synthetic := makes_its_image(function):
        if images or split or seed is not None:
            raise UserError(f"{method} makes its own image: leave out --images, --split and --seed")
        targets, shown = _averages(data, target, stage, unit, count or COUNT)
    else:
        shown = choose(data, images, split, count, seed)
    pixels = shown.pixels.to(next(net.parameters()).device)
    logits = _outputs(net, pixels, None)
    if not synthetic:
        targets = _targets(data, target, unit, shown.labels, logits)
    if stage is None and takes(function, "stage"):
        stage = given["stage"] = last_maps(net, pixels[:1])
    maps = _maps(function, net, pixels, targets, given)
    seen = maps.to(pixels.device) if synthetic else pixels
    random_maps = _maps(function, randomised(net), pixels, targets, given) if sanity else None
    return Explained(
        method,
        {name: value for name, value in given.items() if name not in ("of", "stage")},
        stage,
        unit,
        shown.names,
        (shown.pixels * _column(data.std) + _column(data.mean)).clamp(0, 1),
        maps,
        [*_names(data, shown.labels)] if shown.labels is not None else [None] * len(pixels),
        _names(data, (_outputs(net, seen, None) if synthetic else logits).argmax(1)),
        _names(data, targets) if unit is None else [f"{stage} {unit}"] * len(pixels),
        chosen(_outputs(net, seen, given.get("of")), targets),
        shown.places,
        random_maps,
        None if random_maps is None else rank_correlation(maps, random_maps),
        synthetic,
    )


def _targets(
    data: ImageData, target: str | int | None, unit: int | None, labels: Tensor | None, logits: Tensor
) -> Tensor:
    if unit is not None:
        if target is not None:
            raise UserError("--unit and --target exclude each other: a unit is explained, or a class")
        return torch.full((len(logits),), unit)
    if target in (None, "predicted"):
        return logits.argmax(1)
    if target == "label":
        if labels is None:
            raise UserError("--target label needs images with labels; take some of the data set with --split")
        return labels
    return torch.full((len(logits),), class_index(data, target))


def _averages(
    data: ImageData, target: str | int | None, stage: str | None, unit: int | None, count: int
) -> tuple[Tensor, Chosen]:
    """One class, the first few, or a unit; and for each the average image."""
    if target in ("predicted", "label"):
        raise UserError(f"--target {target} needs images; name a class")
    if unit is not None:
        targets, names = torch.tensor([unit]), [f"{stage} {unit}"]
    else:
        every = target is None
        targets = torch.arange(min(count, data.num_classes)) if every else torch.tensor([class_index(data, target)])
        names = _names(data, targets)
    average = (data.average_image - _column(data.mean)) / _column(data.std)
    return targets, Chosen(average.repeat(len(targets), 1, 1, 1), names)


def class_index(data: ImageData, target: str | int | None) -> int:
    """The number of a class by its name or number; raises UserError where there is none."""
    names = data.class_names
    if target in names:
        return names.index(str(target))
    if str(target).isdecimal() and int(str(target)) < len(names):
        return int(str(target))
    near = get_close_matches(str(target), names, n=1)
    way = f"; did you mean {near[0]}?" if near else f", by name or from 0 to {len(names) - 1}: {_some(names)}"
    raise UserError(f"there is no class {str(target)!r} in {type(data).__name__}{way}")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names if len(names) <= 12 else [*names[:3], "…", names[-1]])


def _maps(function: Any, net: nn.Module, pixels: Tensor, targets: Tensor, given: Mapping[str, Any]) -> Tensor:
    parts = zip(torch.split(pixels, BATCH), torch.split(targets, BATCH), strict=True)
    return torch.cat([function(net, batch, wanted, **given).cpu() for batch, wanted in parts])


def _outputs(net: nn.Module, images: Tensor, stage: str | None) -> Tensor:
    """The logits, or what a stage puts out."""
    found = []
    for part in torch.split(images, BATCH):
        with subject(net, part, torch.zeros(len(part), dtype=torch.int64)) as at, torch.no_grad():
            found.append(output_at(at.net, at.images, stage).cpu())
    return torch.cat(found)


def _names(data: ImageData, classes: Tensor) -> list[str]:
    return [data.class_names[index] for index in classes.tolist()]


def _column(values: Sequence[float]) -> Tensor:
    return torch.tensor(values)[:, None, None]
