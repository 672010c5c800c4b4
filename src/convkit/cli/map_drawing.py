"""The work of ``convkit maps``: pictures, arrays and a manifest in a folder."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from convkit.analyses.maps import answers, first_filters, placed
from convkit.analyses.patches import check_maps
from convkit.cli.maps import COUNT, Request
from convkit.cli.patches import PICTURED
from convkit.cli.quiet import quiet
from convkit.datasets.pictures import Chosen, choose
from convkit.errors import UserError
from convkit.inspection.units import units
from convkit.report.features import filters_page
from convkit.report.maps import MANIFEST, refuse_full
from convkit.report.responses import responses_page
from convkit.run import Run

ARRAYS, FILTERS = "maps.npz", "filters.png"


class Drawn(NamedTuple):
    """What is written: N rows about images, their pixels from 0 to 1, maps and their numbers by stage, and filters."""

    name: str  # of the run
    rows: list[dict[str, Any]]
    images: Tensor
    maps: dict[str, Tensor]
    channels: dict[str, list[int]]
    filters: Tensor | None


def run(request: Request) -> dict[str, Any]:
    """Compute, draw and write; the manifest.

    Raises:
        UserError: what was asked for is not there or does not fit; nothing has been written then.
    """
    quiet()
    refuse_full(request.out)
    opened = Run.open(request.run)
    drawn = _drawn(opened, request)
    try:
        return _written(drawn, {"run": str(opened.directory), "checkpoint": opened.checkpoint.name}, request.out)
    except OSError as error:
        raise UserError(
            f"{request.out} cannot be written: {error.strerror or error}; choose another with --out"
        ) from error


def _drawn(opened: Run, request: Request) -> Drawn:
    model, data = opened.model, opened.data
    stages = placed(model.net, data.image_shape, request.stages, "--stage")
    for looked in units(model.net, data.image_shape, stages).values():
        check_maps(request.channels or [], looked, "--channels")
    data.prepare_data()
    data.setup("fit")
    data.setup("test")
    count = request.count if request.images or request.count is not None else COUNT
    images = choose(data, request.images, request.split, count, request.seed)
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    found = answers(model, images, stages)
    mean, std = (torch.tensor(values)[:, None, None] for values in (data.mean, data.std))
    channels = {stage: request.channels or list(range(maps.shape[1])) for stage, maps in found.maps.items()}
    return Drawn(
        f"{opened.directory.parent.name}/{opened.directory.name}",
        [_row(data.class_names, images, int(guess), index) for index, guess in enumerate(found.predicted)],
        (images.pixels * std + mean).clamp(0, 1),
        {stage: maps[:, channels[stage]] for stage, maps in found.maps.items()},
        channels,
        first_filters(model.net, data),
    )


def _row(classes: list[str], images: Chosen, predicted: int, index: int) -> dict[str, Any]:
    place = {} if images.places is None else {"image": images.places[index]}
    label = None if images.labels is None else classes[int(images.labels[index])]
    return {"name": images.names[index], **place, "label": label, "predicted": classes[predicted]}


def _written(drawn: Drawn, about: dict[str, Any], out: Path) -> dict[str, Any]:
    out.mkdir(parents=True, exist_ok=True)
    arrays = {"images": drawn.images, **drawn.maps}
    if drawn.filters is not None:
        filters_page(drawn.filters, f"filters of the first layer of {drawn.name}").save(out / FILTERS)
        arrays["filters"] = drawn.filters
    named: dict[str, Any] = {name: value.numpy() for name, value in arrays.items()}
    np.savez_compressed(out / ARRAYS, **named)
    manifest = {
        **about,
        "arrays": ARRAYS,
        "filters": None if drawn.filters is None else FILTERS,
        "stages": {
            stage: {"channels": drawn.channels[stage], "size": [*maps.shape[2:]]} for stage, maps in drawn.maps.items()
        },
        "images": [{**row, "pages": _pages(drawn, row, index, out)} for index, row in enumerate(drawn.rows)],
    }
    (out / MANIFEST).write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return manifest


def _pages(drawn: Drawn, row: dict[str, Any], index: int, out: Path) -> dict[str, str]:
    """A page of each stage for one image; their names."""
    pages = {}
    label = "" if row["label"] is None else f", {row['label']}"
    for stage, maps in drawn.maps.items():
        some = drawn.channels[stage][:PICTURED]
        title = f"{stage} of {drawn.name}: {row['name']}{label}, taken for {row['predicted']}"
        pages[stage] = f"{index:04}_{stage}.png"
        responses_page(drawn.images[index], maps[index, : len(some)], some, title).save(out / pages[stage])
    return pages
