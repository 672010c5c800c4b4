"""The contract of an architecture: a network whose layers have the names that its paper gives them."""

from abc import abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from torch import Tensor, nn


class Outputs(NamedTuple):
    """What a network may return while it trains: the logits, and those of each auxiliary head by name."""

    logits: Tensor
    aux: dict[str, Tensor]


class ConvNet(nn.Module):
    """A convolutional classifier, N×C×H×W images to N×K logits.

    ``stages`` maps the paper's name of a layer (``conv1`` … ``conv5``, ``fc6``, ``head``) to its module path, in
    forward order. In training mode ``forward`` may return :class:`Outputs`; in evaluation it returns the logits.
    ``aux_heads`` maps each name in ``Outputs.aux`` to the attribute that holds its module, which may become None; the
    class's own are those that its networks may have, so that weights may hold one that a network lacks.
    ``stage_layouts`` has the order of the dimensions, ``NCHW`` or ``NHWC``, of stages that are known to put out maps;
    of others what has four dimensions is taken for N×C×H×W.
    ``published_for`` is the number of classes and the C×H×W image of the paper's main experiment.
    """

    stages: Mapping[str, str]
    aux_heads: Mapping[str, str] = MappingProxyType({})
    stage_layouts: Mapping[str, str] = MappingProxyType({})
    published_for: tuple[int, tuple[int, int, int]] = (1000, (3, 224, 224))

    @abstractmethod
    def forward(self, images: Tensor) -> Tensor | Outputs: ...

    def rename_key(self, key: str) -> str:
        """The name that a key of a published ``state_dict`` has here. Override where the publishers' differ."""
        return key

    def drop_aux(self) -> None:
        """Remove the auxiliary heads: they serve training alone."""
        for attribute in self.aux_heads.values():
            setattr(self, attribute, None)
        self.aux_heads = {}

    def stage(self, name: str) -> nn.Module:
        """The module of a stage.

        Raises:
            ValueError: there is no such stage; lists those that there are.
        """
        if name not in self.stages:
            raise ValueError(f"{type(self).__name__} has no stage {name!r}; it has {', '.join(self.stages)}")
        return self.get_submodule(self.stages[name])

    def maps(self, stage: str, output: Tensor) -> Tensor:
        """What a stage put out, as N×C×H×W where it is N×H×W×C, else as it is."""
        return output.permute(0, 3, 1, 2) if self.stage_layouts.get(stage) == "NHWC" else output


class Wrapped(ConvNet):
    """A classifier that was not written for convkit, with names for its stages.

    Args:
        inner: takes N×C×H×W images and returns N×K logits, while training too.
        stages: the paper's name of a layer to its module path in ``inner``, in forward order.

    Raises:
        ValueError: ``inner`` has no module at one of the paths.
    """

    def __init__(self, inner: nn.Module, stages: Mapping[str, str]) -> None:
        super().__init__()
        self.inner = inner
        modules = dict(inner.named_modules())
        for name, path in stages.items():
            if path not in modules:
                raise ValueError(f"{type(inner).__name__} has no module {path!r} for the stage {name}")
        self.stages = {name: f"inner.{path}" for name, path in stages.items()}

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.inner(images)
        return logits

    def rename_key(self, key: str) -> str:
        return key if key.startswith("inner.") else f"inner.{key}"


def as_outputs(returned: Tensor | Outputs) -> Outputs:
    """The one form of what a network returned, with or without auxiliary heads."""
    return returned if isinstance(returned, Outputs) else Outputs(returned, {})
