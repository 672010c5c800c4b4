"""The page of ``convkit report`` from what lies in the runs, and into its file; no torch up to here."""

import os
from datetime import datetime
from pathlib import Path

import numpy as np

from convkit import __version__
from convkit.cli.report import Request
from convkit.errors import UserError
from convkit.evolution.history import UNREADABLE, History
from convkit.report.page.cards import left_explanation, left_patches, left_picture
from convkit.report.page.facts import Facts, read
from convkit.report.page.page import Section, page
from convkit.report.page.pictures import Strips, strips
from convkit.report.page.tables import SPLITS


def run(request: Request) -> int:
    """Gather, draw, write; the exit status."""
    sections = [_section(request, read(directory)) for directory in request.runs]
    made = f"convkit {__version__}, {datetime.now().astimezone():%Y-%m-%d %H:%M %Z}"
    text = page(sections, made).encode(errors="replace")  # half a character may be in a file of a run
    new = request.out.with_name(f".{request.out.name}.new")
    try:
        new.write_bytes(text)
        os.replace(new, request.out)
    except OSError as error:
        new.unlink(missing_ok=True)
        raise UserError(f"{request.out} cannot be written: {error.strerror or error}") from error
    for section in sections:
        for note in section.facts.notes + section.notes:
            print(f"{section.facts.name}: {note}")
    print(f"page: {request.out} ({len(text) / 1e6:.1f} MB)")
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
    """What the fit, ``convkit explain`` and ``convkit patches`` have left in the run and in folders of it."""
    place, notes = section.facts.directory, section.notes
    section.filters = left_picture(place / "first_filters.png", "Filters of the first layer", notes, exact=True)
    for split in SPLITS:
        if found := left_picture(place / f"{split}_mistakes.png", "Worst mistakes", notes, exact=False):
            section.mistakes[split] = found
    for manifest in sorted(place.glob("*/manifest.json")):
        if explained := left_explanation(manifest, notes):
            section.explanations.append(explained)
    for table in sorted(place.glob("*/patches.csv")):
        section.pages += left_patches(table.parent, notes)


def _strips(file: Path, notes: list[str]) -> Strips | None:
    try:
        with file.open("rb") as raw, np.load(raw, allow_pickle=False) as stored:
            history = History(file.stem, stored["maps"].tolist())
            epochs = stored["epochs"].tolist()
        if history.maps and epochs:
            if not history.load(file.parent, epochs):
                raise ValueError("it is not whole")
            return strips(history)
    except (*UNREADABLE, TypeError, AttributeError) as error:  # the last two: arrays of another shape
        notes.append(f"{file.name} cannot be read: {' '.join(str(error).split())}")
    return None
