"""The charts of the page: which curves share one."""

from collections.abc import Sequence
from typing import Any

from convkit.report.page.facts import Facts

# By the beginning of a metric's name: the panel's title, and what its values are. What fits none has one by its prefix.
PANELS = (
    (("train/loss", "val/loss"), "Loss", "cross-entropy"),
    (("val/top1_error", "val/top5_error"), "Validation error", "percent"),
    (("train/aux/",), "Loss of auxiliary heads", "cross-entropy"),
    (("lr/",), "Learning rate", "rate"),
)
NOT_CURVES = ("epoch", "test/")
SETTLING = {
    "winners": ("Change of the winners", "share of maps whose strongest image is another than at the epoch before"),
    "projections": ("Change of the projections", "1 − cosine to the epoch before"),
    "filters": ("Distance of the filters", "from their last state, as a share of it"),
}


def panels(runs: Sequence[Facts]) -> list[dict[str, Any]]:
    """For the script of the page: title, unit and series of each chart, and the drops of the rate."""
    found: dict[str, dict[str, Any]] = {}
    for index, facts in enumerate(runs):
        for metric, curve in facts.curves.items():
            if metric.startswith(NOT_CURVES) or len(curve.values) < 2:
                continue
            title, unit = _place(metric)
            panel = found.setdefault(title, {"title": title, "unit": unit, "axis": "step", "series": []})
            label = metric if len(runs) == 1 else f"{facts.name} {metric}"
            panel["series"].append({
                "label": label, "run": index, "smooth": not metric.startswith(("lr/", "val/")),
                "x": curve.steps, "y": [_short(value) for value in curve.values],
            })  # fmt: skip
    order = {title: place for place, (_, title, _) in enumerate(PANELS)}
    return sorted(found.values(), key=lambda panel: order.get(panel["title"], len(order)))


def settling_panels(facts: Facts) -> list[dict[str, Any]]:
    """How far each stage had settled, by epoch."""
    return [
        {
            "title": SETTLING[quantity][0],
            "unit": SETTLING[quantity][1],
            "axis": "epoch",
            "series": [
                {
                    "label": stage,
                    "run": 0,
                    "smooth": False,
                    "x": [epoch for epoch, _ in points],
                    "y": [_short(value) for _, value in points],
                }
                for stage, points in of_stage.items()
            ],
        }
        for quantity, of_stage in facts.settling.items()
    ]


def _place(metric: str) -> tuple[str, str]:
    for beginnings, title, unit in PANELS:
        if metric.startswith(beginnings):
            return title, unit
    return metric.rpartition("/")[0] or metric, ""


def _short(value: float) -> float:
    return float(f"{value:.5g}")  # more digits than a screen shows would be half of the page
