"""Maps over images as pictures, and all of an explanation in a folder."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the field's own name

from convkit.errors import UserError
from convkit.explainers.sanity import UNCHANGED
from convkit.explanation import Explained
from convkit.report.sheet import Section, sheet

STRONGEST = 0.995  # the share of values that a picture's range holds: a few outliers would leave the rest grey
# Weak to strong: dark red to yellow, dark blue to cyan.
FOR = torch.tensor([[0.80, 0.05, 0.10], [1.00, 0.90, 0.10]])
AGAINST = torch.tensor([[0.10, 0.15, 0.75], [0.10, 0.90, 1.00]])
ARRAYS, MANIFEST, SHEET = "maps.npz", "manifest.json", "sheet.png"


def strength(values: Tensor) -> Tensor:
    """A map from -1 to 1, by its own largest values; zeros stay zeros."""
    scale = values.abs().flatten().quantile(STRONGEST)
    largest = values.abs().max()
    scale = scale if scale > 0 else largest
    return (values / scale.clamp(min=torch.finfo(values.dtype).tiny)).clamp(-1, 1)


def picture(values: Tensor) -> Tensor:
    """C×H×W from 0 to 1: a map alone. Of one that is nowhere negative black is zero; else grey is."""
    scaled = strength(values)
    return scaled if len(values) == 1 and bool((values >= 0).all()) else 0.5 + scaled / 2


def overlay(image: Tensor, values: Tensor) -> Tensor:
    """3×H×W from 0 to 1: the image in grey, red to yellow where the map speaks for the target, blue to cyan against it.

    Of a map with colours, the strength alone, in red.
    """
    one = values if len(values) == 1 else values.abs().amax(0, keepdim=True)
    if one.shape[1:] != image.shape[1:]:
        one = F.interpolate(one[None], image.shape[1:], mode="bilinear")[0]
    scaled = strength(one)
    grey = image.mean(0, keepdim=True).expand(3, -1, -1)
    strong = scaled.abs()
    colour = torch.where(scaled > 0, _between(FOR, strong), _between(AGAINST, strong))
    weight = 0.8 * strong**1.5  # what is weak leaves the image as it is
    return grey * (1 - weight) + colour * weight


def _between(ends: Tensor, share: Tensor) -> Tensor:
    weak, strong = ends[:, :, None, None]
    colour: Tensor = weak + (strong - weak) * share
    return colour


def refuse_full(out: Path) -> None:
    """Raises UserError where writing into ``out`` could overwrite something."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} is there already, and not empty; choose another folder with --out")


def save(explained: Explained, out: Path, about: dict[str, Any]) -> dict[str, Any]:
    """Pictures, arrays, a sheet and the manifest, which is returned; ``about`` is what else that should say.

    Raises:
        UserError: ``out`` is not empty, or cannot be written.
    """
    refuse_full(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        rows = [_saved(explained, index, out) for index in range(len(explained.names))]
        _arrays(explained, out / ARRAYS)
        contact_sheet(explained).save(out / SHEET)
        manifest = {
            "method": explained.method,
            "stage": explained.stage,
            "unit": explained.unit,
            "options": explained.options,
            **about,
            **({"unchanged_from": UNCHANGED} if explained.correlations is not None else {}),
            "arrays": ARRAYS,
            "sheet": SHEET,
            "images": rows,
        }
        (out / MANIFEST).write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(f"{out} cannot be written: {error.strerror or error}; choose another with --out") from error
    return manifest


def _saved(explained: Explained, index: int, out: Path) -> dict[str, Any]:
    """One image's pictures, and its row of the manifest."""
    row: dict[str, Any] = {
        "name": explained.names[index],
        **({} if explained.places is None else {"image": explained.places[index]}),
        "label": explained.labels[index],
        "predicted": explained.predicted[index],
        "target": explained.targets[index],
        "score": explained.scores[index].item(),
        "map": f"{index:04}_map.png",
    }
    _write(picture(explained.maps[index]), out / row["map"])
    if not explained.synthetic:
        row["overlay"] = f"{index:04}_overlay.png"
        _write(overlay(explained.images[index], explained.maps[index]), out / row["overlay"])
    if explained.random_maps is not None and explained.correlations is not None:
        row["random_map"] = f"{index:04}_random_map.png"
        _write(picture(explained.random_maps[index]), out / row["random_map"])
        row["rank_correlation"] = explained.correlations[index].item()
        row["unchanged"] = bool(explained.correlations[index] > UNCHANGED)
    return row


def _arrays(explained: Explained, path: Path) -> None:
    arrays = {"maps": explained.maps, "images": explained.images, "scores": explained.scores}
    if explained.random_maps is not None:
        arrays["random_maps"] = explained.random_maps
    named: dict[str, Any] = {name: value.numpy() for name, value in arrays.items()}
    np.savez_compressed(path, **named)


def contact_sheet(explained: Explained) -> Image.Image:
    """Each image, its map, the map over it, and the map of randomised weights, side by side."""
    images: list[Tensor] = []
    labels: list[str] = []
    for index, name in enumerate(explained.names):
        values, label = explained.maps[index], explained.labels[index]
        value = explained.scores[index].item()
        score = f"{value:{'.3g' if abs(value) < 1000 else '.0f'}} for {explained.targets[index]}"
        shown = [] if explained.synthetic else [(explained.images[index], name if label is None else label)]
        shown.append((picture(values), score if explained.synthetic else f"taken for {explained.predicted[index]}"))
        if not explained.synthetic:
            shown.append((overlay(explained.images[index], values), score))
        if explained.random_maps is not None and explained.correlations is not None:
            correlation = explained.correlations[index].item()
            verdict = "UNCHANGED" if correlation > UNCHANGED else "random:"
            shown.append((picture(explained.random_maps[index]), f"{verdict} {correlation:.2f}"))
        images += [image for image, _ in shown]
        labels += [text for _, text in shown]
    place = f" · {explained.stage}" if explained.stage else ""
    across = len(images) // len(explained.names)
    return sheet(
        [Section(f"{explained.method}{place}", images, labels)], columns=min(len(images), max(1, 8 // across) * across)
    )


def _write(image: Tensor, path: Path) -> None:
    pixels = (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    if pixels.shape[2] == 1 or pixels.shape[2] != 3:
        pixels = pixels[:, :, 0]
    Image.fromarray(pixels).save(path)
