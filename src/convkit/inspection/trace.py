"""Sends the shape of one image through a network and watches every operation: what each tensor sees, what it costs."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

from convkit.inspection.call import POOLINGS, Call
from convkit.inspection.costs import macs
from convkit.inspection.field import Field, image_field
from convkit.inspection.operations import see
from convkit.inspection.windows import Window, windows

BATCH = 2  # not 1: the batch's dimension is told from a side of one pixel by its size


class Convolution(NamedTuple):
    """One that was done: its weight's shape, its groups, whether it has a bias, C×H×W of its input and output."""

    weight: tuple[int, ...]
    groups: int
    bias: bool
    image: tuple[int, ...]
    output: tuple[int, ...]


@dataclass(slots=True)
class Visit:
    """One run of a module; or, with ``operation``, one pooling that a container did without a module for it.

    ``parameters`` (those that no visit before it used), ``macs`` and the like are its own, without the modules in it; a
    *layer* includes what is in it.
    """

    name: str
    module: nn.Module
    operation: str = ""
    layer: bool = False  # a row of the table
    inside: bool = False  # part of a layer
    parameters: int = 0
    macs: int = 0
    windows: list[Window] = field(default_factory=list)
    convolutions: list[Convolution] = field(default_factory=list)
    output: tuple[int, ...] = ()
    sees: Field | None = None  # None where the output does not depend on the image

    def absorb(self, part: "Visit") -> None:
        self.parameters += part.parameters
        self.macs += part.macs
        self.windows += part.windows
        self.convolutions += part.convolutions


def is_layer(module: nn.Module) -> bool:
    """Whether a module is one layer: it has no modules in it, or weights of its own and none in those, as a batch norm
    with its activation."""
    own = any(True for _ in module.parameters(recurse=False))
    parts = list(module.children())
    return not parts or (own and not any(True for part in parts for _ in part.parameters()))


def trace(net: nn.Module, image_shape: tuple[int, int, int]) -> list[Visit]:
    """Every module of ``net`` in the order in which they end, for one C×H×W image, in the mode that it is in.

    Raises:
        RuntimeError: the image does not get through.
    """
    state = {
        name: value if value.device.type == "meta" else torch.empty_like(value, device="meta")
        for name, value in chain(net.named_parameters(), net.named_buffers())
    }
    image = torch.empty(BATCH, *image_shape, device="meta")
    watch = _Watch({id(state[name]): value.numel() for name, value in net.named_parameters()})
    watch.fields[image] = image_field(image.shape)
    with torch.no_grad(), watch.modules(net), watch:
        functional_call(net, state, (image,))
    return watch.visits


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self, parameters: dict[int, int]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.fields: Any = WeakTensorKeyDictionary()
        self.written: dict[int, tuple[Any, Field]] = {}  # memory that was changed in place, and what is there now
        self.unused = parameters  # sizes, by the tensor's id; each counts where it is first used
        self.running: list[Visit] = []
        self.visits: list[Visit] = []

    # -- operations ------------------------------------------------------------------------------------------------

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        call = Call.of(func, args, kwargs, out, self._known)
        self._count(call)
        if not call.fields:
            return out
        seen = see(call)
        outs = [leaf for leaf in tree_leaves(out) if isinstance(leaf, Tensor)]
        if outs and func._schema.is_mutable and isinstance(seen, Field):
            self._write(outs[0], seen, call.name)
        fields = seen if isinstance(seen, list) else [seen] * len(outs)
        for tensor, one in zip(outs, fields, strict=True):
            if one is not None:
                self.fields[tensor] = one
        if call.name in POOLINGS and not self.running[-1].layer and not self.running[-1].inside:
            self._end(
                Visit(self.running[-1].name, self.running[-1].module, call.name, True, windows=windows(call)), out
            )
        return out

    def _count(self, call: Call) -> None:
        visit = self.running[-1]
        for leaf in tree_leaves(call.arguments):
            if isinstance(leaf, Tensor):
                visit.parameters += self.unused.pop(id(leaf), 0)
        if not call.fields:  # what is done to weights alone is not done for each image
            return
        visit.macs += macs(call) // BATCH
        visit.windows += windows(call)
        if call.name == "convolution" and not call["transposed"]:
            shapes = (tuple(call["weight"].shape), call["groups"], call["bias"] is not None)
            visit.convolutions.append(Convolution(*shapes, tuple(call["input"].shape[1:]), call.shape[1:]))

    def _known(self, tensor: Tensor) -> Field | None:
        field: Field | None = self.fields.get(tensor)
        if field is None and self.written and tensor.untyped_storage()._cdata in self.written:
            field = self.written[tensor.untyped_storage()._cdata][1]
        return field

    def _write(self, changed: Tensor, seen: Field, name: str) -> None:
        """Other tensors that share the memory of one that was changed in place see what it sees: nobody knows where."""
        before = self.fields.get(changed)
        if before is not None and (before.rows, before.columns) == (seen.rows, seen.columns):
            return
        storage = changed.untyped_storage()
        self.written[storage._cdata] = storage, seen.lose(name)  # held, so that its address is not used again
        for tensor, known in list(self.fields.items()):
            if tensor is not changed and tensor.untyped_storage()._cdata == storage._cdata:
                self.fields[tensor] = known.lose(name)

    # -- modules ---------------------------------------------------------------------------------------------------

    @contextmanager
    def modules(self, net: nn.Module) -> Iterator[None]:
        """Watch every module of ``net`` begin and end."""
        names = {module: name for name, module in net.named_modules()}

        def enter(module: nn.Module, inputs: Any) -> None:
            inside = bool(self.running) and (self.running[-1].layer or self.running[-1].inside)
            self.running.append(Visit(names[module], module, layer=not inside and is_layer(module), inside=inside))

        def leave(module: nn.Module, inputs: Any, output: Any) -> None:
            visit = self.running.pop()
            if visit.inside:
                self.running[-1].absorb(visit)
            self._end(visit, output)

        with ExitStack() as stack:
            for module in names:
                stack.enter_context(_removed(module.register_forward_pre_hook(enter)))
                stack.enter_context(_removed(module.register_forward_hook(leave)))
            yield

    def _end(self, visit: Visit, output: Any) -> None:
        out = next((leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor)), None)
        if out is not None:
            visit.output, visit.sees = tuple(out.shape[1:]), self._known(out)
        self.visits.append(visit)


@contextmanager
def _removed(handle: Any) -> Iterator[None]:
    try:
        yield
    finally:
        handle.remove()
