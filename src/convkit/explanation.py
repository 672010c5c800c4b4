"""A trained network's images explained: which images, which classes or units, which maps, and with what score."""

import inspect
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from convkit import plugins
from convkit.convnet import ConvNet
from convkit.datasets.base import ImageData
from convkit.datasets.pictures import first_images, from_files
from convkit.errors import UserError, did_you_mean
from convkit.explainers.base import chosen, output_at, subject
from convkit.explainers.sanity import randomised, rank_correlation

BATCH = 16  # images at once


class Images(NamedTuple):
    """What is explained: N×C×H×W normalised, N names, and N labels where they are known."""

    pixels: Tensor
    names: list[str]
    labels: Tensor | None


class Explained(NamedTuple):
    """Maps and what they are of; lists and tensors have one entry an image.

    ``images`` are from 0 to 1; ``maps`` as the explainer gives them; ``scores`` the target's logit, or its unit's
    activation. With sanity checks, ``random_maps`` are of the network with randomised weights, and ``correlations``
    Spearman's of both.
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
    target: str | int | None = None,
    stage: str | None = None,
    unit: int | None = None,
    sanity: bool = False,
    options: Mapping[str, Any] | None = None,
) -> Explained:
    """Maps of an explainer for files or for the first ``count`` images of a split.

    Args:
        net: in whatever mode and on whatever device; it stays so.
        data: set up here if it is not.
        method: an explainer's short name or path.
        images: files; or else ``split``, ``val`` by default.
        target: ``predicted`` (default), ``label``, or a class by its name or number.
        stage: the stage whose maps are used, or that ``unit`` is one of.
        unit: a channel of ``stage`` to explain in place of a class.
        sanity: do it again with randomised weights.
        options: the explainer's own; values may be text.

    Raises:
        UserError: whatever of this does not exist or does not fit.
    """
    function = plugins.load(plugins.at("explainer", method) if "." in method else plugins.find("explainer", method))
    given = arguments(function, method, stage, unit, options or {})
    data.prepare_data()
    data.setup("fit")
    data.setup("test")
    synthetic = list(inspect.signature(function).parameters)[1:2] == ["average"]
    if synthetic:
        if images or split:
            raise UserError(f"{method} makes its own image: leave out --images and --split")
        classes = _classes_to_draw(data, target, unit, count or BATCH)
        normalised = (data.average_image - _column(data.mean)) / _column(data.std)
        names = [data.class_names[index] if unit is None else f"{stage} {unit}" for index in classes.tolist()]
        chosen_images = Images(normalised.expand(len(classes), -1, -1, -1).contiguous(), names, None)
    else:
        chosen_images = _images(data, images, split, count)
    pixels = chosen_images.pixels.to(next(net.parameters()).device)
    logits = torch.cat([_output(net, part, None) for part in torch.split(pixels, BATCH)]).cpu()
    if synthetic:
        targets = classes if unit is None else torch.full((len(pixels),), unit)
    else:
        targets = _targets(data, target, unit, chosen_images.labels, logits)
    maps = _maps(function, net, pixels, targets, given)
    random_maps = _maps(function, randomised(net), pixels, targets, given) if sanity else None
    scored = maps.to(pixels.device) if synthetic else pixels
    scores = torch.cat([_output(net, part, given.get("of")) for part in torch.split(scored, BATCH)]).cpu()
    labels = chosen_images.labels
    return Explained(
        method,
        {name: value for name, value in given.items() if name not in ("of", "stage")},
        stage,
        unit,
        chosen_images.names,
        (chosen_images.pixels * _column(data.std) + _column(data.mean)).clamp(0, 1),
        maps,
        [None] * len(pixels) if labels is None else [data.class_names[label] for label in labels.tolist()],
        [data.class_names[index] for index in (scores if synthetic and unit is None else logits).argmax(1).tolist()],
        [f"{stage} {unit}" if unit is not None else data.class_names[index] for index in targets.tolist()],
        chosen(scores, targets),
        random_maps,
        None if random_maps is None else rank_correlation(maps, random_maps),
        synthetic,
    )


def arguments(
    function: Any, method: str, stage: str | None, unit: int | None, options: Mapping[str, Any]
) -> dict[str, Any]:
    """The keyword arguments of an explainer; raises UserError for what it does not take."""
    known = dict(list(inspect.signature(function).parameters.items())[3:])
    found: dict[str, Any] = {}
    if unit is not None:
        if "of" not in known:
            raise UserError(f"{method} explains classes, not units: leave out --unit")
        if stage is None:
            raise UserError("--unit needs --stage, the stage whose feature map it is")
        found["of"] = stage
    elif stage is not None:
        if "stage" not in known:
            way = "needs --unit too, the feature map to explain" if "of" in known else "has no stage to choose"
            raise UserError(f"{method} with --stage {way}")
        found["stage"] = stage
    own = {name: each.default for name, each in known.items() if name not in ("of", "stage")}
    for name, value in options.items():
        if name not in own:
            raise UserError(f"{method} has no option {name!r}{did_you_mean(name, own)}")
        found[name] = _converted(f"{method}: {name}", value, own[name])
    return found


def _converted(name: str, value: Any, default: Any) -> Any:
    """Text to the type of an option's default; raises UserError where it is none of that."""
    kind = type(default)
    if kind is bool:
        words = {"true": True, "false": False}
        if str(value).lower() in words:
            return words[str(value).lower()]
        raise UserError(f"{name} is true or false, not {value!r}")
    if kind not in (int, float):
        return value
    try:
        return kind(value)
    except ValueError:
        raise UserError(f"{name} is a {'whole ' if kind is int else ''}number, not {value!r}") from None


def _images(data: ImageData, files: Sequence[str | Path], split: str | None, count: int | None) -> Images:
    if files:
        if split or count:
            raise UserError("--images names files; leave out --split and --count")
        paths = [Path(file).expanduser() for file in files]
        return Images(from_files(data, paths), [path.name for path in paths], None)
    if split not in (None, "train", "val", "test"):
        raise UserError(f"--split is one of train, val, test, not {split!r}")
    if count is not None and count < 1:
        raise UserError(f"--count is a number of images, not {count}")
    pixels, labels = first_images(data, split or "val", count or BATCH)
    return Images(pixels, [f"{split or 'val'} {index}" for index in range(len(pixels))], labels)


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


def _classes_to_draw(data: ImageData, target: str | int | None, unit: int | None, count: int) -> Tensor:
    """For an explainer that makes its own image: one class, or the first few, or one image of a unit."""
    if unit is not None:
        return torch.zeros(1, dtype=torch.int64)
    if target in ("predicted", "label"):
        raise UserError(f"--target {target} needs images; name a class")
    if target is None:
        return torch.arange(min(count, data.num_classes))
    return torch.tensor([class_index(data, target)])


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


def _output(net: nn.Module, images: Tensor, stage: str | None) -> Tensor:
    with subject(net, images, torch.zeros(len(images), dtype=torch.int64)) as at, torch.no_grad():
        return output_at(at.net, at.images, stage)


def _column(values: Sequence[float]) -> Tensor:
    return torch.tensor(values)[:, None, None]
