"""One of torch's own operations as it was called, and what the tensors that went into it see."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from convkit.inspection.field import Field, combine
from convkit.inspection.layout import Layout

POOLINGS = {"max_pool2d_with_indices", "avg_pool1d", "avg_pool2d", "avg_pool3d", "max_pool3d_with_indices"}
LOCALLY_CONNECTED = "convkit::locally_connected2d"  # (x, weight: h×w×O×kw×kh×C, stride)
PADDINGS = {"constant_pad_nd", "reflection_pad1d", "reflection_pad2d", "replication_pad1d", "replication_pad2d"}


class NotUnderstoodError(Exception):
    """A rule met a case that is not its own."""


@dataclass(frozen=True, slots=True)
class Call:
    """One operation: its name, its arguments by the names of torch's schema, and its (first) result."""

    name: str
    pointwise: bool
    arguments: dict[str, Any]
    out: Any
    fields: dict[int, Field]  # of those of its tensors that depend on the image, by id

    @classmethod
    def of(
        cls,
        operation: Any,
        args: Sequence[Any],
        kwargs: dict[str, Any],
        out: Any,
        known: Callable[[Tensor], Field | None],
    ) -> "Call":
        arguments = {
            argument.name: args[index] if index < len(args) else kwargs.get(argument.name, argument.default_value)
            for index, argument in enumerate(operation._schema.arguments)
        }
        tensors = [leaf for leaf in tree_leaves(arguments) if isinstance(leaf, Tensor)]
        fields = {id(tensor): field for tensor in tensors if (field := known(tensor)) is not None}
        name = operation._schema.name.removeprefix("aten::")
        return cls(name, torch.Tag.pointwise in operation.tags, arguments, out, fields)

    def __getitem__(self, argument: str) -> Any:
        return self.arguments[argument]

    def field(self, argument: str) -> Field | None:
        value = self.arguments[argument]
        return self.fields.get(id(value)) if isinstance(value, Tensor) else None

    @property
    def source(self) -> Tensor | None:
        """The first tensor among the arguments."""
        return next((value for value in self.arguments.values() if isinstance(value, Tensor)), None)

    @property
    def single(self) -> tuple[Field, Layout]:
        """The field of the first argument, with its layout, where no other argument depends on the image."""
        field = self.field(next(iter(self.arguments)))
        if field is None or len(self.fields) > 1 or field.layout is None:
            raise NotUnderstoodError
        return field, field.layout

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the result, or of the first of several."""
        return tuple((self.out if isinstance(self.out, Tensor) else self.out[0]).shape)

    @property
    def lost(self) -> Field:
        """What is left when it is not understood."""
        if all(field.layout is None for field in self.fields.values()):
            return combine(self.fields.values(), self.shape, self.name)
        return combine((field.lose(self.name) for field in self.fields.values()), self.shape, self.name)

    def dims(self, argument: str) -> list[int]:
        """Dimensions of the first tensor, counted from 0; all of them where none is given."""
        assert self.source is not None
        count = self.source.dim()
        given = self.arguments.get(argument)
        chosen = range(count) if given is None or given == [] else [given] if isinstance(given, int) else given
        return [dim % count for dim in chosen]

    @property
    def dim(self) -> int:
        """The argument of that name, counted from 0."""
        return self.dims("dim")[0]


Result = Field | list[Field] | None
Rule = Callable[[Call], Result]


def relaid(field: Field, layout: Sequence[Any]) -> Field:
    """The same field with its dimensions elsewhere."""
    return replace(field, layout=tuple(layout))
