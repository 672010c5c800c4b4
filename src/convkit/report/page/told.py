"""What the head of a page says of a run, and its numbers epoch by epoch."""

import json
import math
from collections.abc import Iterator
from typing import Any

from convkit.report.page.facts import Facts, shown
from convkit.run_directory import MADE_WITH

COLUMNS = 24  # of the table of numbers


def about(facts: Facts) -> Iterator[tuple[str, str]]:
    """Label and text, in the order in which they are told; what is not known is left out."""
    state, config = facts.state, facts.config
    if facts.epochs is not None:
        planned = config.get("trainer.max_epochs")
        yield (
            "epochs",
            f"{facts.epochs} of {planned}" if isinstance(planned, int) and planned > 0 else str(facts.epochs),
        )
    if state.get("seconds"):
        # A resumed fit counts its own seconds, and the epochs of all.
        yield "training" + (", since it was resumed" if facts.resumed else ""), lasted(state["seconds"])
    if state.get("started"):
        yield "started", str(state["started"])[:16].replace("T", " ") + " UTC"
    for label, key in (("network", "model.architecture"), ("data", "data"), ("schedule", "model.schedule")):
        if (chosen := config.get(f"{key}.class_path") or config.get(key)) and isinstance(chosen, str):
            yield label, chosen.rpartition(".")[2]
    if config.get("seed_everything") is not None:
        yield "seed", shown(config["seed_everything"])
    yield from _made_with(facts)


def _made_with(facts: Facts) -> Iterator[tuple[str, str]]:
    try:
        made: Any = json.loads((facts.directory / MADE_WITH).read_text(encoding="utf-8"))
        parts = [f"{name} {made[name]}" for name in ("convkit", "torch", "lightning") if made.get(name)]
        revision, plugins = made.get("git"), made.get("plugins") or []
        strangers = {f"{one['distribution']} {one['version']}" for one in plugins if one["distribution"] != "convkit"}
        data = made.get("data")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return
    yield "made with", ", ".join([*parts, *sorted(strangers)])
    if isinstance(revision, dict):
        yield "revision", str(revision.get("revision"))[:10] + (" and changes" if revision.get("changed") else "")
    if isinstance(data, dict) and data.get("sha256"):
        yield "data's fingerprint", str(data["sha256"])[:12]


def lasted(seconds: float) -> str:
    """``8.7 s``, ``2 min 05 s``, ``3 h 07 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


def numbers(facts: Facts) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The names of the metrics, and by epoch, from 1, the last value of each: the curves for who cannot see them."""
    per = facts.steps_per_epoch
    names = [name for name in facts.curves if not name.startswith(("epoch", "test/"))][:COLUMNS]
    if not per:
        return [], []
    rows: dict[int, dict[str, str]] = {}
    for name in names:
        curve = facts.curves[name]
        for step, value in zip(curve.steps, curve.values, strict=True):
            rows.setdefault(max(1, math.ceil(step / per - 1e-6)), {})[name] = f"{value:.4g}"
    return names, [(epoch, [row.get(name, "") for name in names]) for epoch, row in sorted(rows.items())]
