"""Building a network without its layers' default initialisation, where another follows."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import nn
from torch.overrides import TorchFunctionMode

_DRAWS = frozenset({nn.init.kaiming_uniform_, nn.init.uniform_})  # what nn.Conv2d and nn.Linear are made with


class Uninitialised(TorchFunctionMode):
    """``with Uninitialised():`` layers made inside hold whatever their memory held.

    A dense layer of 100 million weights takes most of a second to draw; drawing twice doubles that.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func in _DRAWS:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)
