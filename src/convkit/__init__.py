"""convkit: train convolutional networks from one config, and see what they learned.

The public names below are resolved when they are first used, so ``import convkit`` does not import torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from convkit.classifier import Classifier as Classifier
    from convkit.convnet import ConvNet as ConvNet
    from convkit.convnet import Outputs as Outputs
    from convkit.datasets.base import ImageData as ImageData
    from convkit.datasets.batches import Split as Split
    from convkit.datasets.in_memory import InMemoryData as InMemoryData
    from convkit.errors import UserError as UserError
    from convkit.run import Run as Run
    from convkit.schedules.base import Schedule as Schedule

_HOMES = {
    "Classifier": "convkit.classifier",
    "ConvNet": "convkit.convnet",
    "ImageData": "convkit.datasets.base",
    "InMemoryData": "convkit.datasets.in_memory",
    "Outputs": "convkit.convnet",
    "Run": "convkit.run",
    "Schedule": "convkit.schedules.base",
    "Split": "convkit.datasets.batches",
    "UserError": "convkit.errors",
}
__all__ = [
    "Classifier",
    "ConvNet",
    "ImageData",
    "InMemoryData",
    "Outputs",
    "Run",
    "Schedule",
    "Split",
    "UserError",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("convkit")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'convkit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
