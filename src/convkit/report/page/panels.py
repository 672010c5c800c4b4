"""The charts of the page: which curves share one."""

from collections.abc import Sequence
from typing import Any

from convkit.report.page.curves import Curve
from convkit.report.page.facts import Facts

# By the beginning of a metric's name: the panel's title, and what its values are. What fits none has one by its prefix.
PANELS = (
    (("train/loss", "val/loss"), "Loss", "cross-entropy"),
    (("val/top1_error", "val/top5_error"), "Validation error", "percent"),
    (("train/aux/",), "Loss of auxiliary heads", "cross-entropy"),
    (("lr/",), "Learning rate", "rate"),
    (("grad_norm/",), "Gradient norm", "of all parameters of a stage, before clipping"),
    (("time/epoch",), "Time of an epoch", "seconds"),
    (("time/images_per_second",), "Speed", "images per second"),
)
LOG = ("Learning rate", "Gradient norm")  # these go over powers of ten
NOT_CURVES = ("epoch", "test/")
POINTS = 2000  # of a curve
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
            if len(runs) > 1:  # the colour tells the run
                title, unit, group = metric, unit, title
            else:
                group = title
            log = group in LOG
            new = {"title": title, "unit": unit, "axis": "step", "log": log, "group": group, "series": []}
            found.setdefault(title, new)["series"].append({
                "label": metric if len(runs) == 1 else facts.name, "run": index,
                "smooth": not metric.startswith(("lr/", "val/")), **_thinned(curve),
            })  # fmt: skip
    order = {title: place for place, (_, title, _) in enumerate(PANELS)}
    return sorted(found.values(), key=lambda panel: order.get(panel["group"], len(order)))


def _thinned(curve: Curve) -> dict[str, list[float]]:
    """Of a long curve the least and the largest value of each piece: what a screen can show, peaks included."""
    steps, values = curve.steps, curve.values
    if len(values) > POINTS:
        piece = -(-2 * len(values) // POINTS)
        pieces = [range(start, min(start + piece, len(values))) for start in range(0, len(values), piece)]
        chosen = {
            place for one in pieces for place in (min(one, key=values.__getitem__), max(one, key=values.__getitem__))
        }
        return _points([steps[place] for place in sorted(chosen)], [values[place] for place in sorted(chosen)])
    return _points(steps, values)


def _points(steps: list[float], values: list[float]) -> dict[str, list[float]]:
    return {"x": [_whole(step) for step in steps], "y": [_short(value) for value in values]}


def _whole(step: float) -> float:
    return int(step) if step == int(step) else step


def settling_panels(facts: Facts) -> list[dict[str, Any]]:
    """How far each stage had settled, by epoch."""
    return [
        {
            "title": SETTLING[quantity][0],
            "unit": SETTLING[quantity][1],
            "axis": "epoch",
            "log": False,
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
