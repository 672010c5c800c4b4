"""Writes the contracts into docs/plugins.md, from the docstrings of what ``convkit plugins check`` tries.

python docs/contracts.py
"""

import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from convkit.testing import architecture, dataset, explainer, schedule
from convkit.testing.contract import Clause

PAGE = Path(__file__).with_name("plugins.md")
BEGIN = "<!-- Written by `python docs/contracts.py` from the docstrings of convkit.testing. -->"
END = "<!-- The end of what it writes. -->"
TWO_RANKS = "two ranks"
Row = tuple[str, Callable[..., Any]]
KINDS: dict[str, tuple[str, Sequence[Clause[Any]], list[Row]]] = {
    "Architecture": (
        "(num_classes, image_shape, **options) -> ConvNet",
        architecture.CLAUSES,
        [(TWO_RANKS, architecture.two_ranks)],
    ),
    "Data set": ("(**options) -> ImageData", dataset.CLAUSES, [(TWO_RANKS, dataset.two_ranks)]),
    "Schedule": ("(**options) -> Schedule", schedule.CLAUSES, [(TWO_RANKS, schedule.two_ranks)]),
    "Explainer": ("(net, images, targets, **options) -> Tensor", explainer.CLAUSES, []),
}


def written() -> str:
    """The part of the page that is made here, markers included."""
    return "\n".join([BEGIN, "", *_tables(), END])


def page() -> str:
    """The whole page."""
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    return before + written() + rest.partition(END)[2]


def _tables() -> Iterator[str]:
    for kind, (signature, clauses, with_ranks) in KINDS.items():
        yield f"### {kind}: `{signature}`\n"
        yield "| clause | what holds |\n|---|---|"
        for name, check in [*((clause.name, clause.check) for clause in clauses), *with_ranks]:
            yield f"| {name} | {sentence(check)} |"
        yield ""


def sentence(check: Callable[..., Any]) -> str:
    """A clause's docstring in one line, its code in single backticks."""
    text = " ".join((inspect.getdoc(check) or "").split())
    return re.sub(r"``([^`]+)``", r"`\1`", text).replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
