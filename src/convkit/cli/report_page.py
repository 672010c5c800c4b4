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
from convkit.report.page.facts import Facts, read
from convkit.report.page.page import Section, page
from convkit.report.page.pictures import inline, strips
from convkit.run import Run


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
    if request.files_only:
        return section
    opened = Run.open(facts.directory)
    notes = section.notes
    for _, found in asked.each_or_why([("layers", partial(_layers, opened))], notes):
        section.layers = found
    if not [*asked.each_or_why([("images", partial(asked.ready, opened))], notes)]:
        return section
    if facts.confusion.get(request.split):
        looked: Callable[[], Any] = partial(asked.behind, opened, request.split)
        for _, cells in asked.each_or_why([("images behind the confusions", looked)], notes):
            section.behind[request.split] = {
                cell: [(round(sure, 4), inline(picture)) for sure, picture in seen] for cell, seen in cells.items()
            }
    sheets: list[tuple[str, Callable[[], Any]]] = [
        (f"{method} of {request.split} images", partial(asked.explanation, opened, method, request.split))
        for method in request.explain
    ]
    section.sheets += [(name, inline(picture)) for name, picture in asked.each_or_why(sheets, notes)]
    if request.patches != "none":
        top = partial(asked.top_patches, opened, request.patches, request.split)
        for _, (stage, picture) in asked.each_or_why([("top patches", top)], notes):
            section.sheets.append((f"Top patches of {stage}", inline(picture, 75)))
    return section


def _layers(opened: Run) -> list[asked.Layer]:
    return asked.layers(opened.model.net, opened.data.image_shape)


def _strips(file: Path, notes: list[str]) -> list[tuple[int, str]]:
    import numpy as np

    try:
        with np.load(file, allow_pickle=False) as stored:
            history = History(file.stem, stored["maps"].tolist())
            epochs = stored["epochs"].tolist()
    except (OSError, KeyError, ValueError) as error:
        notes.append(f"{file.name} cannot be read: {' '.join(str(error).split())}")
        return []
    if not history.maps or not history.load(file.parent, epochs):
        return []
    return strips(history)
