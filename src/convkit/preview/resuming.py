"""Whether a checkpoint fits the fit that would go on from it."""

from pathlib import Path

from lightning.pytorch import Trainer

from convkit.classifier import Classifier
from convkit.errors import UserError
from convkit.preview.start import Steps
from convkit.weights import read_checkpoint


def resumed_at(checkpoint: Path, trainer: Trainer, model: Classifier, steps: Steps) -> int:
    """The step that the checkpoint is at.

    Raises:
        UserError: it is of another network or another schedule, or nothing is left to train.
    """
    contents = read_checkpoint(checkpoint)
    model.on_load_checkpoint(contents)
    step = int(contents["global_step"])
    if steps.total is not None and step >= steps.total:
        raise UserError(
            f"nothing is left to train: {checkpoint} is at step {step}, the fit ends at {steps.total}; "
            "give --trainer.max_epochs N"
        )
    for optimizer, state in zip(trainer.optimizers, contents["optimizer_states"], strict=False):
        both = state["param_groups"], optimizer.param_groups
        was, now = (", ".join(str(len(group["params"])) for group in groups) for groups in both)
        if was != now:
            raise UserError(
                f"{checkpoint} is of another schedule: its groups have {was} parameters, those of this one {now}"
            )
    return step
