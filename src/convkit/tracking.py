"""Weights & Biases: one run a job, offline by default, and never the reason that a fit fails."""

import warnings
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch.loggers import Logger, WandbLogger


def wandb_loggers(
    mode: Literal["offline", "online"], project: str, folder: Path, config: dict[str, Any]
) -> list[Logger]:
    """A logger to a W&B run in ``folder``, named after it; none, with a warning, where W&B cannot start."""
    import wandb

    try:
        run = wandb.init(
            project=project,
            name=f"{folder.parent.name}/{folder.name}",
            dir=str(folder),
            mode=mode,
            config=config,
            settings=wandb.Settings(silent=True, console="off"),
        )
    except Exception as error:  # no tracker is worth a fit
        reason = " ".join(str(error).split())
        warnings.warn(f"Weights & Biases is off in this run: {reason}", stacklevel=2)
        return []
    run.define_metric("trainer/global_step")
    run.define_metric("*", step_metric="trainer/global_step", step_sync=True)
    return [WandbLogger(experiment=run)]
