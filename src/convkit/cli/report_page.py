"""The page of ``convkit report`` from what lies in the runs, and into its file; no torch up to here."""

import os
from datetime import datetime
from pathlib import Path

import numpy as np

from convkit import __version__
from convkit.cli.report import Request
from convkit.errors import UserError
from convkit.evolution.history import History
from convkit.report.page.cards import left_explanation, left_patches
from convkit.report.page.facts import Facts, read
from convkit.report.page.page import Section, page
from convkit.report.page.pictures import Strips, strips


def run(request: Request) -> int:
    """Gather, draw, write; the exit status."""
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
    # From here on it asks the network: this import takes seconds.
    from convkit.cli.report_asking import ask

    ask(section, request)
    return section


def _left(section: Section) -> None:
    """What ``convkit explain`` and ``convkit patches`` have left in folders of the run."""
    place = section.facts.directory
    for manifest in sorted(place.glob("*/manifest.json")):
        if found := left_explanation(manifest, section.notes):
            section.explanations.append(found)
    for table in sorted(place.glob("*/patches.csv")):
        section.pages += left_patches(table.parent, section.notes)


def _strips(file: Path, notes: list[str]) -> Strips | None:
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
