"""Rectifiers with another way back: deconvnet and guided backpropagation are gradients but for that.

Found where torch is called, not where a module says so: ``nn.ReLU``, ``F.relu``, ``torch.relu``, ``Tensor.relu_``, in
place and used twice are all the same to a ``TorchFunctionMode``. A rectifier is what cuts off at zero, with a ceiling
(ReLU6) or without. What is smooth or leaks (tanh, GELU, SiLU, hard-swish, leaky ReLU) is none, and keeps its gradient;
a hard sigmoid written as relu6(x + 3) is one.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the field's own name
from torch.overrides import TorchFunctionMode

from convkit.errors import UserError

# What comes back through a rectifier, of the signal and the rectifier's output and ceiling.
Rule = Callable[[Tensor, Tensor, float | None], Tensor]


class _Call(NamedTuple):
    """What a call of one of torch's functions would rectify."""

    x: Tensor
    ceiling: float | None = None
    inplace: bool = False


def deconvnet_rule(signal: Tensor, output: Tensor, ceiling: float | None) -> Tensor:
    """The signal, rectified, wherever the output was zero or not (Zeiler & Fergus 2014, §2.1)."""
    return _above(signal, signal)


def guided_rule(signal: Tensor, output: Tensor, ceiling: float | None) -> Tensor:
    """The signal, rectified, where the rectifier let something through (Springenberg et al. 2015, §3.4)."""
    passed = _above(_above(signal, signal), output)
    return passed if ceiling is None else passed.masked_fill(output >= ceiling, 0)


def _above(signal: Tensor, output: Tensor) -> Tensor:
    """The signal where ``output`` is above zero. By a name under which the mode below does not take it for a ReLU."""
    result: Tensor = torch.ops.aten.threshold_backward(signal, output, 0)
    return result


class _Rectify(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, ceiling: float | None, inplace: bool, rule: Rule) -> Tensor:
        output = x.clamp_(0, ceiling) if inplace else x.clamp(0, ceiling)
        if inplace:
            ctx.mark_dirty(x)
        ctx.save_for_backward(output)
        ctx.ceiling, ctx.rule = ceiling, rule
        return output

    @staticmethod
    def backward(ctx: Any, signal: Tensor) -> tuple[Tensor | None, ...]:
        (output,) = ctx.saved_tensors
        return ctx.rule(signal, output, ctx.ceiling), None, None, None


class _Rectifiers(TorchFunctionMode):
    def __init__(self, rule: Rule) -> None:
        super().__init__()
        self.rule, self.met = rule, 0

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        read = _FORMS.get(func)
        call = read(*args, **kwargs) if read else None
        if call is None:
            return func(*args, **kwargs)
        self.met += 1
        return _Rectify.apply(call.x, call.ceiling, call.inplace, self.rule)


@contextmanager
def rectifiers(rule: Rule, owner: str) -> Iterator[None]:
    """What is computed inside sends its signal back through rectifiers by ``rule``.

    Raises:
        UserError: there was no rectifier; speaks of ``owner``, the explainer.
    """
    with _Rectifiers(rule) as mode:
        yield
    if not mode.met:
        raise UserError(f"{owner} acts on ReLUs, and the signal met none; use saliency, grad_cam or occlusion here")


def _plain(input: Tensor, inplace: bool = False) -> _Call:  # noqa: A002 - torch's name, here and below
    return _Call(input, inplace=inplace)


def _plain_(input: Tensor) -> _Call:  # noqa: A002
    return _Call(input, inplace=True)


def _six(input: Tensor, inplace: bool = False) -> _Call:  # noqa: A002
    return _Call(input, 6.0, inplace)


def _hard_tanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> _Call | None:  # noqa: A002
    return _Call(input, max_val, inplace) if min_val == 0 else None


def _threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> _Call | None:  # noqa: A002
    return _Call(input, None, inplace) if threshold == value == 0 else None


def _clamp(input: Tensor, min: Any = None, max: Any = None, *, out: Any = None) -> _Call | None:  # noqa: A002
    plain = not isinstance(min, Tensor) and min == 0 and not isinstance(max, Tensor) and out is None
    return _Call(input, max) if plain and input.is_floating_point() else None


def _clamp_(input: Tensor, min: Any = None, max: Any = None) -> _Call | None:  # noqa: A002
    call = _clamp(input, min, max)
    return call and call._replace(inplace=True)


_FORMS: dict[Any, Callable[..., _Call | None]] = {
    **dict.fromkeys((F.relu, torch.relu, Tensor.relu), _plain),
    **dict.fromkeys((torch.relu_, F.relu_, Tensor.relu_), _plain_),
    F.relu6: _six,
    F.hardtanh: _hard_tanh,
    F.threshold: _threshold,
    **dict.fromkeys((torch.clamp, Tensor.clamp, torch.clip, Tensor.clip), _clamp),
    **dict.fromkeys((torch.clamp_min, Tensor.clamp_min), _clamp),
    **dict.fromkeys((torch.clamp_, Tensor.clamp_, Tensor.clip_, Tensor.clamp_min_), _clamp_),
}
