"""The part of ``convkit report`` that asks the network of a run."""

from collections.abc import Callable
from functools import partial
from typing import Any

from convkit.cli.quiet import quiet
from convkit.cli.report import Request
from convkit.report.page import asked
from convkit.report.page.cards import Layer
from convkit.report.page.page import Section
from convkit.report.page.pictures import inline
from convkit.run import Run

DEFAULT = ["grad_cam"]  # where the run holds no explanation


def ask(section: Section, request: Request) -> None:
    """Layers, images behind the numbers, explanations, top patches; what cannot be had is noted."""
    quiet()
    opened, notes = Run.open(section.facts.directory), section.notes
    if missing := [key for key in ("data", "model") if not isinstance(opened.config.get(key), dict)]:
        notes.append(f"the network cannot be built: config.yaml has no {' and no '.join(missing)}")
        return
    for _, section.layers in asked.each_or_why([("layers", partial(_layers, opened))], notes):
        pass
    if not [*asked.each_or_why([("images", partial(asked.ready, opened))], notes)]:
        return
    for split in section.facts.confusion:
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


def _layers(opened: Run) -> list[Layer]:
    return asked.layers(opened.model.net, opened.data.image_shape)
