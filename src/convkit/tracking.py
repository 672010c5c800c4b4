"""Weights & Biases: one run a job, offline by default, and never the reason that a fit fails."""

import warnings
from pathlib import Path
from typing import Any, Literal


def wandb_run(mode: Literal["offline", "online"], project: str, folder: Path, config: dict[str, Any]) -> Any:
    """A W&B run in ``folder``, named after it; None, with a warning, where W&B cannot start."""
    import wandb

    try:
        run = wandb.init(
            project=project,
            name=f"{folder.parent.name}/{folder.name}",
            dir=str(folder.resolve()),  # its writer is a process of its own, with a working directory of its own
            mode=mode,
            config=config,
            reinit="create_new",  # two fits in one process are two runs
            settings=wandb.Settings(silent=True, console="off"),
        )
    except Exception as error:  # no tracker is worth a fit
        reason = " ".join(str(error).split())
        warnings.warn(f"Weights & Biases is off in this run: {reason}", stacklevel=2)
        return None
    run.define_metric("trainer/global_step")
    run.define_metric("*", step_metric="trainer/global_step", step_sync=True)
    return run
