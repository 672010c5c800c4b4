"""All that is told of a run before it begins."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import DDPStrategy

from convkit.classifier import Batch, Classifier
from convkit.convnet import ConvNet
from convkit.datasets.base import ImageData
from convkit.datasets.features import FeatureData
from convkit.preview.frozen import Frozen, frozen, thawed
from convkit.preview.groups import Group, groups, left_out
from convkit.preview.memory import Memory
from convkit.preview.monitors import Monitor, monitors
from convkit.preview.problems import Problems
from convkit.preview.resuming import resumed_at
from convkit.preview.start import Steps, count, images_of, start, steps
from convkit.preview.timeline import Timeline, timeline
from convkit.preview.trial import FEW, trial
from convkit.weights import read_checkpoint


@dataclass
class Outlook:
    """What a fit would do. What could not be found out, because of a problem before it, is as it is here."""

    architecture: str
    parameters: int
    num_classes: int
    image_shape: tuple[int, int, int]
    data: str
    ranks: int = 1
    images: dict[str, int | None] = field(default_factory=dict)  # by split
    batch_size: int | None = None  # over all ranks
    val_batches: int | None = None
    validated: str = ""  # how often
    steps: Steps = field(default_factory=Steps)
    groups: list[Group] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    monitors: list[Monitor] = field(default_factory=list)
    timeline: Timeline | None = None
    memory: Memory | None = None
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def look(trainer: Trainer, model: Classifier, data: ImageData, checkpoint: Path | None) -> Outlook:
    """Sets everything up as ``trainer.fit(model, data)`` would, and takes one step on a few images.

    Model and trainer are of no use afterwards.

    Args:
        trainer: a new one, without loggers; only its own process is used, whatever the number of its ranks.
        model: with its schedule.
        data: a data set, or features of one.
        checkpoint: that the fit would go on from.

    Raises:
        UserError: the data set cannot be had; everything else is among the problems.
    """
    problems, images, net = Problems(), images_of(data), model.net
    start(trainer, model, images)
    found = _size(trainer, net, images, problems)
    if model.start is not None:
        model.start.settle(net, getattr(images, "class_names", None))
        found.notes.append(model.start.told(net))
    contents = read_checkpoint(checkpoint) if checkpoint else None
    held = frozen(trainer, model, data, contents, problems)
    found.notes += held.lines
    with problems.gathered():
        trainer.strategy.setup_optimizers(trainer)
        found.groups = groups(net, trainer.optimizers, held)
        found.monitors = monitors(trainer, model, problems)
        if forgotten := left_out(net, trainer.optimizers, held):
            found.notes.append(f"in no group, so they never learn: {_listed(forgotten)}")
    with problems.gathered():
        # "auto" chooses by the number of images: nobody could know beforehand what has no use for a rate.
        if not held.chosen:
            model.schedule.refuse_idle_rates(net, held.for_ever, "never learns; leave its rate out")
    if found.steps.per_epoch and trainer.optimizers:
        if not held.everything(net):
            _try(found, trainer, model, data, held, problems)
        found.timeline = timeline(trainer, found.steps)
    if contents:  # the last: the optimizers and their policies are then in its state
        with problems.gathered():
            at = resumed_at(contents, str(checkpoint), trainer, model, found.steps)
            found.notes.append(f"goes on from {checkpoint}, step {at}")
    images.teardown("fit")
    return found


def _size(trainer: Trainer, net: ConvNet, images: ImageData, problems: Problems) -> Outlook:
    """How much of everything there is; the rest is not known yet."""
    parameters = sum(each.numel() for each in net.parameters())
    name = type(getattr(net, "inner", net)).__name__
    found = Outlook(name, parameters, images.num_classes, images.image_shape, type(images).__name__, trainer.world_size)
    found.problems, found.batch_size = problems.lines, getattr(images, "batch_size", None)
    found.images = {split: count(images, split) for split in ("train", "val")}
    with problems.gathered():
        found.steps = steps(trainer)
    with problems.gathered():
        found.val_batches, found.validated = _validation(trainer)
    return found


def _validation(trainer: Trainer) -> tuple[int, str]:
    """The number of batches, and how often they are gone through."""
    if not trainer.enable_validation:
        return 0, "no validation"
    trainer.fit_loop.epoch_loop.val_loop.setup_data()
    batches = int(sum(trainer.num_val_batches))
    every = trainer.check_val_every_n_epoch
    if every is None or trainer.val_check_batch not in (None, trainer.num_training_batches):
        return batches, f"validation every {trainer.val_check_batch} batches"
    return batches, "validation after every epoch" if every == 1 else f"validation every {every} epochs"


def _try(
    found: Outlook, trainer: Trainer, model: Classifier, data: ImageData, held: Frozen, problems: Problems
) -> None:
    """The step on a few images."""
    with problems.gathered(), thawed(model.net, held):
        loader: Any = trainer.train_dataloader
        batch: Batch = next(iter(loader))
        if isinstance(data, FeatureData):
            model.on_features, batch = True, _features_of(data, batch)
        done = trial(trainer, model, batch)
        found.unused, found.memory = done.unused, done.memory
    strategy = trainer.strategy
    if not found.unused or not isinstance(strategy, DDPStrategy) or found.ranks == 1:
        return
    if not getattr(strategy, "_ddp_kwargs", {}).get("find_unused_parameters"):
        problems.add(
            f"the loss does not depend on {_listed(found.unused)}, which ends a fit on {found.ranks} ranks; "
            "give --trainer.strategy ddp_find_unused_parameters_true"
        )


def _features_of(data: FeatureData, batch: Batch) -> Batch:
    """A batch of as many features, those of its first images again and again: one look needs no more."""
    images, targets = batch
    few = data.features_of(images[: max(FEW)])
    return few[torch.arange(len(images), device=few.device) % len(few)], targets


def _listed(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
