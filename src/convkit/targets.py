"""What an entry point names, against what its kind wants: a plugin that cannot be one is told before the parser."""

from typing import Any

from convkit.convnet import ConvNet
from convkit.datasets.base import ImageData
from convkit.errors import UserError
from convkit.plugins import Plugin
from convkit.schedules.base import Schedule
from convkit.testing import explainer
from convkit.testing.contract import Failure, check_target, told

WANTED: dict[str, tuple[type, tuple[str, ...]]] = {
    "architecture": (ConvNet, ("num_classes", "image_shape")),
    "dataset": (ImageData, ()),
    "schedule": (Schedule, ()),
}


def refuse_other(plugin: Plugin, target: Any) -> None:
    """Raises UserError where what an installed plugin names is nothing of its kind."""
    if not plugin.distribution:
        return
    try:
        if plugin.kind in WANTED:
            check_target(target, *WANTED[plugin.kind])
        else:
            explainer.target(explainer.Explaining(target, {}))
    except Failure as failure:
        raise UserError(f"{plugin} cannot be used: {failure}") from failure
    except Exception as error:  # annotations that name nothing, a signature that is none
        raise UserError(f"{plugin} cannot be used: {told(error)}") from error
