"""The work of ``convkit patches``: one search, pages of pictures and a table, in a folder that is whole or absent."""

import csv
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from convkit.analyses.maps import first_filters
from convkit.analyses.patches import Found, check_maps, pictures, search
from convkit.cli.patches import PICTURED, Request
from convkit.cli.quiet import quiet
from convkit.errors import UserError
from convkit.projections import projectable, unprojectable, with_maps
from convkit.report.features import Block, filters_page, patches_page
from convkit.run import Run

A_PAGE = 16  # maps


def run(request: Request) -> dict[str, Any]:
    """Search and draw; what was done, in plain values."""
    quiet()
    opened = Run.open(request.run)
    model, data = opened.model, opened.data
    # All that a user can have got wrong comes before the work.
    some = projectable if request.projections else with_maps
    chosen = some(model.net, data.image_shape, request.stages, "--stage")
    plain = {stage for stage in chosen if unprojectable(model.net, data.image_shape, stage)}
    for looked in chosen.values():
        check_maps(request.channels or [], looked, "--channels")
    data.prepare_data()
    data.setup("fit")
    data.setup("test")
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    labels = data.labels(request.split)
    with _folder(request.out) as place:
        found = search(model, data, list(chosen), request.top, request.split, _progress(len(labels)))
        done: list[dict[str, Any]] = []
        for one in found.values():
            maps = request.channels or list(range(one.units.maps))
            pictured = maps if request.channels else maps[:PICTURED]
            projected = one.units.stage not in plain
            pages = _draw(opened, one, pictured, request.split, place, projected)
            done.append({
                "stage": one.units.stage,
                "maps": one.units.maps,
                "window": [one.units.rows.extent, one.units.columns.extent],
                "projections": projected,
                "pictured": pictured,
                "pages": pages,
                "patches": list(one.rows(maps, labels)),
            })  # fmt: skip
        _write([row for stage in done for row in stage["patches"]], place / "patches.csv")
        if (filters := first_filters(model.net, data)) is not None:
            filters_page(filters, "filters of the first layer").save(place / "filters.png")
    about = {"run": str(opened.directory), "checkpoint": str(opened.checkpoint), "split": request.split}
    return {**about, "images": len(labels), "out": str(request.out), "stages": done}


class _folder:  # noqa: N801 - used as a function
    """A folder under another name, which gets its own when all is in it, and is gone after an error."""

    def __init__(self, out: Path) -> None:
        self.out = out

    def __enter__(self) -> Path:
        self.made = Path(tempfile.mkdtemp(prefix=".patches-", dir=self.out.parent))
        self.made.chmod(0o755)
        return self.made

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            try:
                os.rename(self.made, self.out)  # fails where there is something in it by now
                return
            except OSError as error:
                shutil.rmtree(self.made)
                raise UserError(f"{self.out} cannot be made: {error.strerror or error}") from error
        shutil.rmtree(self.made)


def _progress(count: int) -> Any:
    def show(done: int) -> None:
        if sys.stderr.isatty():
            print(f"\r{done:,} of {count:,} images", end="\n" if done >= count else "", file=sys.stderr, flush=True)

    return show


def _draw(opened: Run, found: Found, maps: list[int], split: str, place: Path, projected: bool) -> list[str]:
    stage, names, blocks = found.units.stage, list[str](), list[Block]()
    wanted = len(maps)
    for seen in pictures(opened.model, opened.data, found, maps, split, projected):
        silent = " (never active)" if found.strongest.values[seen.channel, 0] <= 0 else ""
        blocks.append(Block(f"map {seen.channel}{silent}", seen.patches, seen.projections, seen.seen))
        wanted -= 1
        if len(blocks) == A_PAGE or not wanted:
            names.append(f"{stage}-{len(names) + 1}.png")
            title = f"{stage} of {opened.directory.parent.name}/{opened.directory.name}: {split}"
            patches_page(blocks, title).save(place / names[-1])
            blocks = []
    return names


def _write(rows: list[dict[str, Any]], path: Path) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
