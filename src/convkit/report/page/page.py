"""The page: one HTML file that holds all it shows, and asks nothing of a network."""

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined

from convkit.report.page.cards import Explanation, Layer, Page, Patches
from convkit.report.page.compare import RESULTS, differences, groups
from convkit.report.page.facts import Facts, shown
from convkit.report.page.panels import panels, settling_panels
from convkit.report.page.pictures import Strips
from convkit.report.page.told import about, numbers

GENERATOR = "convkit report"  # by which a page is known again


@dataclass
class Section:
    """A run with its pictures, all of them ``data:`` addresses."""

    facts: Facts
    strips: dict[str, Strips] = field(default_factory=dict)  # by stage
    behind: dict[str, dict[tuple[int, int], list[tuple[float, str]]]] = field(default_factory=dict)  # by split
    explanations: list[Explanation] = field(default_factory=list)
    patches: list[Patches] = field(default_factory=list)
    pages: list[Page] = field(default_factory=list)  # that convkit patches has left
    filters: Page | None = None  # of the first layer
    mistakes: dict[str, Page] = field(default_factory=dict)  # by split
    layers: list[Layer] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def page(sections: Sequence[Section], made: str) -> str:
    """The whole file; ``made`` says when and by what."""
    runs = [section.facts for section in sections]
    scripts = [_asset("uplot/uPlot.iife.min.js"), *("\n" + _asset(name) for name in ("charts.js", "page.js"))]
    environment = Environment(autoescape=True, undefined=StrictUndefined, loader=FunctionLoader(_asset),
                              trim_blocks=True, lstrip_blocks=True)  # fmt: skip
    return environment.get_template("page.html").render(
        generator=GENERATOR,
        title=f"{runs[0].name} · convkit" if len(runs) == 1 else f"{len(runs)} runs · convkit",
        # No address is allowed and no script but these, whatever a label or a configuration holds.
        policy="default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:; style-src 'unsafe-inline'; "
        "script-src " + " ".join(f"'sha256-{_digest(script)}'" for script in scripts),
        styles=[_asset("uplot/uPlot.min.css"), _asset("page.css")],
        scripts=scripts,
        data=_json(_for_script(sections)),
        sections=sections,
        results=[*RESULTS],
        groups=groups(runs) if len(runs) > 1 else [],
        differences=differences(runs) if len(runs) > 1 else [],
        names=[facts.name for facts in runs],
        shown=shown,
        about=about,
        numbers=numbers,
        made=made,
        uplot_license=_asset("uplot/LICENSE").strip(),
    )


def _for_script(sections: Sequence[Section]) -> dict[str, Any]:
    return {
        "names": [section.facts.name for section in sections],
        "panels": panels([section.facts for section in sections]),
        "settling": [settling_panels(section.facts) for section in sections],
        "drops": [section.facts.drops for section in sections],
        "perEpoch": [section.facts.steps_per_epoch for section in sections],
        "strips": [{stage: one._asdict() for stage, one in section.strips.items()} for section in sections],
        "patches": [[one._asdict() for one in section.patches] for section in sections],
        "behind": [
            {
                split: {f"{true},{taken}": seen for (true, taken), seen in cells.items()}
                for split, cells in section.behind.items()
            }
            for section in sections
        ],
    }


def _json(value: Any) -> str:
    """For a ``script`` element, which ends at the first ``</script``: no ``<`` of a label's may open anything."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _asset(name: str) -> str:
    return files("convkit.report.page").joinpath("assets", name).read_text(encoding="utf-8")


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
