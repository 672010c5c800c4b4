"""What Lightning says that a user of convkit can do nothing about."""

import logging
import warnings
from typing import Any

from convkit.cli.ranks import is_first_rank
from convkit.plugin_health import OtherVersion

_WARNINGS = (
    ".*is smaller than the logging interval.*",  # Classifier logs at the end of every epoch too
    ".*does not have many workers.*",
    ".*sync_dist=True.*",  # what is logged at the end of an epoch is reduced over the ranks already
    ".*tensorboardX.*",
    ".*isinstance\\(treespec, LeafSpec\\).*",
    ".*Using `DistributedSampler` with the dataloaders.*",  # our loaders count each image once
    ".*Checkpoint directory .* exists and is not empty.*",
    ".*Experiment logs directory .* exists and is not empty.*",
    ".*The `srun` command is available.*",
    ".*Consider setting `persistent_workers=True`.*",
    ".*Be aware that when using `ckpt_path`, callbacks used to create the checkpoint.*",  # to evaluate needs none
    ".*You are trying to `self.log\\(\\)` but the `self.trainer` reference is not registered.*",
)


def quiet() -> None:
    """Only warnings from Lightning, and none of those."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in _WARNINGS:
        warnings.filterwarnings("ignore", message)
    warnings.formatwarning = _plainly
    if not is_first_rank():
        warnings.filterwarnings("ignore", category=OtherVersion)  # the first one tells it


def _plainly(message: Warning | str, category: type[Warning], *place: Any, **line: Any) -> str:
    """What the user is told of a plugin's version is a line of its own, without a line of convkit's source."""
    if issubclass(category, OtherVersion):
        return f"convkit: warning: {message}\n"
    return _FORMAT(message, category, *place, **line)


_FORMAT = warnings.formatwarning
