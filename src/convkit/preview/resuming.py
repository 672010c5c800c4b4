"""Whether a checkpoint fits the fit that would go on from it."""

from typing import Any

from lightning.pytorch import Trainer

from convkit.classifier import Classifier
from convkit.errors import UserError
from convkit.preview.start import Steps


def resumed_at(contents: dict[str, Any], name: str, trainer: Trainer, model: Classifier, steps: Steps) -> int:
    """The step that a checkpoint of this name is at.

    Raises:
        UserError: it is of another network or another schedule, or nothing is left to train.
    """
    model.on_load_checkpoint(contents)
    step = int(contents["global_step"])
    if steps.total is not None and step >= steps.total:
        raise UserError(
            f"nothing is left to train: {name} is at step {step}, the fit ends at {steps.total}; "
            "give --trainer.max_epochs N"
        )
    for state, optimizer in zip(contents["optimizer_states"], trainer.optimizers, strict=False):
        optimizer.load_state_dict(state)
    for state, config in zip(contents["lr_schedulers"], trainer.lr_scheduler_configs, strict=False):
        config.scheduler.load_state_dict(state)
    return step
