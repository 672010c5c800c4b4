"""The computing part of ``convkit report``."""

import os
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from convkit import __version__
from convkit.cli.quiet import quiet
from convkit.cli.report import Request
from convkit.errors import UserError
from convkit.evolution.history import History
from convkit.report.page import asked
from convkit.report.page.cards import left_explanation, left_patches
from convkit.report.page.facts import Facts, read
from convkit.report.page.page import Section, page
from convkit.report.page.pictures import Strips, inline, strips
from convkit.run import Run

DEFAULT = ["grad_cam"]  # where the run holds no explanation


def run(request: Request) -> int:
    """Gather, draw, write; the exit status."""
    quiet()
    sections = [_section(request, read(directory)) for directory in request.runs]
    made = f"convkit {__version__}, {datetime.now().astimezone():%Y-%m-%d %H:%M %Z}"
    text = page(sections, made)
    new = request.out.with_name(f".{request.out.name}.new")
    try:
        new.write_text(text, encoding="utf-8")
        os.replace(new, request.out)
    except OSError as error:
        new.unlink(missing_ok=True)
        raise UserError(f"{request.out} cannot be written: {error.strerror or error}") from error
    for section in sections:
        for note in section.facts.notes + section.notes:
            print(f"{section.facts.name}: {note}")
    print(f"page: {request.out} ({len(text.encode()) / 1e6:.1f} MB)")
    return 0


def _section(request: Request, facts: Facts) -> Section:
    section = Section(facts)
    for file in sorted((facts.directory / "evolution").glob("*.npz")):
        if found := _strips(file, section.notes):
            section.strips[file.stem] = found
    _left(section)
    if request.files_only:
        return section
    opened = Run.open(facts.directory)
    notes = section.notes
    for _, found in asked.each_or_why([("layers", partial(_layers, opened))], notes):
        section.layers = found
    if not [*asked.each_or_why([("images", partial(asked.ready, opened))], notes)]:
        return section
    for split in facts.confusion:
        looked: Callable[[], Any] = partial(asked.behind, opened, split)
        for _, cells in asked.each_or_why([(f"{split} images behind the numbers", looked)], notes):
            section.behind[split] = {
                cell: [(round(sure, 4), inline(picture)) for sure, picture in seen] for cell, seen in cells.items()
            }
    default = [] if section.explanations else DEFAULT
    methods: list[tuple[str, Callable[[], Any]]] = [
        (f"{method} of {request.split} images", partial(asked.explanation, opened, method, request.split))
        for method in (default if request.explain is None else request.explain)
    ]
    section.explanations += [found for _, found in asked.each_or_why(methods, notes)]
    if request.patches != "none" and (request.patches or not section.pages):
        top = partial(asked.top_patches, opened, request.patches, request.split)
        for _, section.patches in asked.each_or_why([("top patches", top)], notes):
            pass
    return section


def _left(section: Section) -> None:
    """What ``convkit explain`` and ``convkit patches`` have left in folders of the run."""
    place = section.facts.directory
    for manifest in sorted(place.glob("*/manifest.json")):
        if found := left_explanation(manifest, section.notes):
            section.explanations.append(found)
    for table in sorted(place.glob("*/patches.csv")):
        section.pages += left_patches(table.parent, section.notes)


def _layers(opened: Run) -> list[asked.Layer]:
    return asked.layers(opened.model.net, opened.data.image_shape)


def _strips(file: Path, notes: list[str]) -> Strips | None:
    import numpy as np

    try:
        with np.load(file, allow_pickle=False) as stored:
            history = History(file.stem, stored["maps"].tolist())
            epochs = stored["epochs"].tolist()
    except (OSError, KeyError, ValueError) as error:
        notes.append(f"{file.name} cannot be read: {' '.join(str(error).split())}")
        return None
    if not history.maps or not history.load(file.parent, epochs):
        return None
    return strips(history)
