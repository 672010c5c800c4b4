"""Sends the shape of one image through a network and watches every operation: what each tensor sees, what it costs."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

from convkit.inspection.call import Call
from convkit.inspection.costs import macs
from convkit.inspection.field import Field, image_field
from convkit.inspection.operations import see
from convkit.inspection.windows import Window, windows


@dataclass(slots=True)
class Frame:
    """A module while it runs: what it itself has done so far, without the modules in it."""

    name: str
    module: nn.Module
    parameters: int = 0
    macs: int = 0
    windows: list[Window] = field(default_factory=list)


@dataclass(slots=True)
class Visit:
    """One run of a module, at its end; or of an operation with a window that a module called by itself."""

    frame: Frame
    operation: str  # empty for a module
    inputs: tuple[int, ...]
    output: tuple[int, ...]
    sees: Field | None  # None where the output does not depend on the image


def trace(net: nn.Module, image_shape: tuple[int, int, int]) -> list[Visit]:
    """Every module of ``net`` in the order in which they end, for one C×H×W image, in the mode that it is in.

    Raises:
        RuntimeError: the image does not get through.
    """
    state = {
        name: value if value.device.type == "meta" else torch.empty_like(value, device="meta")
        for name, value in chain(net.named_parameters(), net.named_buffers())
    }
    image = torch.empty(1, *image_shape, device="meta")
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
        self.frames: list[Frame] = []
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
        return out

    def _count(self, call: Call) -> None:
        frame = self.frames[-1]
        for leaf in tree_leaves(call.arguments):
            if isinstance(leaf, Tensor):
                frame.parameters += self.unused.pop(id(leaf), 0)
        count, found = macs(call), windows(call)
        frame.macs += count
        frame.windows += found

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

        def enter(module: nn.Module, inputs: tuple[Any, ...]) -> None:
            self.frames.append(Frame(names[module], module))

        def leave(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            frame = self.frames.pop()
            self._visit(frame, "", inputs, output)

        with ExitStack() as stack:
            for module in names:
                stack.enter_context(_removed(module.register_forward_pre_hook(enter)))
                stack.enter_context(_removed(module.register_forward_hook(leave)))
            yield

    def _visit(self, frame: Frame, operation: str, inputs: Any, output: Any) -> None:
        first, out = (
            next((leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor)), None)
            for values in (inputs, output)
        )
        if out is not None:
            shapes = [() if tensor is None else tuple(tensor.shape[1:]) for tensor in (first, out)]
            self.visits.append(Visit(frame, operation, shapes[0], shapes[1], self.fields.get(out)))


@contextmanager
def _removed(handle: Any) -> Iterator[None]:
    try:
        yield
    finally:
        handle.remove()
