"""What is watched while a fit goes on, and whether anything logs it."""

from typing import NamedTuple

from lightning.pytorch import Trainer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from convkit.callbacks.freezing import Freezing
from convkit.classifier import Classifier
from convkit.errors import did_you_mean
from convkit.preview.problems import Problems
from convkit.schedules.watch import has_strangers


class Monitor(NamedTuple):
    """``owner`` watches ``name``; ``logged`` says whether a fit logs that."""

    owner: str
    name: str
    logged: bool


def monitors(trainer: Trainer, model: Classifier, problems: Problems) -> list[Monitor]:
    """Those of schedules and callbacks; what is missing is a problem.

    A callback of a stranger's may log what it likes, so where there is one no name is known to be missing.
    """
    names = model.logged_metrics
    known = [name for name in names if trainer.enable_validation or not name.startswith("val/")]
    callbacks = trainer.callbacks  # type: ignore[attr-defined]
    watched = [("the schedule", str(each.monitor)) for each in trainer.lr_scheduler_configs
               if isinstance(each.scheduler, ReduceLROnPlateau)]  # fmt: skip
    for callback in callbacks:
        name = getattr(callback, "monitor", None)
        if isinstance(name, str) and not (isinstance(callback, Freezing) and not callback.thaw_when_stalled):
            watched.append((type(callback).__name__, name))
    for owner, name in watched:
        if name in known:
            continue
        if not trainer.enable_validation and (owner == "the schedule" or name in names):
            problems.add(f"{owner} watches {name!r}, and there is no validation")
        elif not has_strangers(trainer):
            problems.add(f"{owner} watches {name!r}, which nothing logs{did_you_mean(name, known)}")
    return [Monitor(owner, name, name in known) for owner, name in watched]
