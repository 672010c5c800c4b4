"""The outlook of a fit in plain values."""

from typing import Any

from convkit.preview.outlook import Outlook
from convkit.preview.timeline import Timeline

POINTS = 200  # of each rate


def as_plain(outlook: Outlook) -> dict[str, Any]:
    """One object; null for what could not be found out."""
    steps, memory = outlook.steps, outlook.memory
    return {
        "architecture": outlook.architecture,
        "parameters": outlook.parameters,
        "num_classes": outlook.num_classes,
        "image_shape": list(outlook.image_shape),
        "data": outlook.data,
        "images": outlook.images,
        "ranks": outlook.ranks,
        "batch_size": outlook.batch_size,
        "batches": {"train": steps.batches, "val": outlook.val_batches},
        "steps_per_epoch": steps.per_epoch,
        "epochs": steps.epochs,
        "steps": steps.total,
        "groups": [row._asdict() for row in outlook.groups],
        "unused": outlook.unused,
        "monitors": [monitor._asdict() for monitor in outlook.monitors],
        "rates": outlook.timeline and _rates(outlook.timeline),
        "memory": memory and {**memory._asdict(), "total": memory.total},
        "notes": outlook.notes,
        "problems": outlook.problems,
    }


def _rates(timeline: Timeline) -> dict[str, Any]:
    """``rates[group][i]`` is the rate of the step after ``steps[i]``."""
    steps = timeline.sampled(POINTS)
    return {
        "steps": steps,
        "rates": {name: rates[steps].tolist() for name, rates in timeline.rates.items()},
        "drops": {name: [drop._asdict() for drop in timeline.drops(name)] for name in timeline.rates},
        "waits": timeline.waits,
    }
