"""The contract of an explainer: ``function(net, images, targets, **options) -> Tensor``, leaving no trace."""

import copy
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from convkit.convnet import ConvNet, Wrapped
from convkit.testing.contract import Clause, Failure, Outcome, demand, enforce, judge, told

CLASSES = 5


def small() -> ConvNet:
    """Batch norm, dropout, ReLUs in place, a frozen weight, a module in a mode of its own, gradients from before."""
    torch.manual_seed(0)
    layers = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Dropout(0.5),
        nn.Conv2d(8, 6, 3), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, CLASSES),
    )  # fmt: skip
    net = Wrapped(layers, {"conv1": "2", "conv2": "6", "head": "9"})
    net.train()
    net(torch.randn(4, 3, 16, 16)).sum().backward()
    layers[5].weight.requires_grad_(False)
    layers[1].eval()
    return net


@dataclass
class Explaining:
    """What is checked, and what it is given."""

    function: Any
    options: Mapping[str, Any]
    given: ConvNet | None = None
    pixels: Tensor | None = None

    @cached_property
    def net(self) -> ConvNet:
        return self.fresh()

    def fresh(self) -> ConvNet:
        return copy.deepcopy(self.given) if self.given is not None else small()

    @cached_property
    def images(self) -> Tensor:
        given = self.pixels
        return given if given is not None else torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))

    @property
    def targets(self) -> Tensor:
        return torch.arange(len(self.images)) + 1

    def __call__(self) -> Tensor:
        images = self.images
        if "average" in inspect.signature(self.function).parameters:  # it makes its own image, from the average one
            images = torch.zeros_like(images)
        found: Tensor = self.function(self.net, images, self.targets, **self.options)
        return found


def examine(
    function: Any, net: ConvNet | None = None, images: Tensor | None = None, options: Mapping[str, Any] | None = None
) -> list[Outcome]:
    """What each clause of the contract found."""
    with torch.random.fork_rng(devices=[]):
        return judge(CLAUSES, Explaining(function, options or {}, net, images))


def check_explainer(function: Any, *, net: ConvNet | None = None, images: Tensor | None = None, **options: Any) -> None:
    """The contract of an explainer.

    Args:
        function: what the entry point names.
        net: a network of at least three classes; by default a small one with batch norm, dropout and in-place ReLUs.
        images: N×C×H×W that it takes; by default two of 3×16×16.
        options: the explainer's own.

    Raises:
        ContractError: a line for each clause that does not hold.
    """
    enforce(examine(function, net, images, options))


def target(subject: Explaining) -> None:
    """A function of network, images and targets; every option has a type and a default."""
    demand(callable(subject.function), f"the target is a {type(subject.function).__name__}; name a function")
    parameters = list(inspect.signature(subject.function).parameters.values())
    demand(len(parameters) >= 3, "takes too little; give it (net, images, targets, *, options)")
    for each in parameters[3:]:
        named = each.kind in (each.KEYWORD_ONLY, each.POSITIONAL_OR_KEYWORD) and each.default is not each.empty
        demand(named, f"the option {each.name} has no default; give it one")
        demand(each.annotation is not each.empty, f"the option {each.name} has no type; the command line needs one")


def shape(subject: Explaining) -> None:
    """N×C×H×W, or N×1×h×w, finite, on the images' device and without a graph."""
    found, images = subject(), subject.images
    demand(isinstance(found, Tensor), f"returns a {type(found).__name__}; return a tensor")
    size, wanted = tuple(found.shape), tuple(images.shape)
    fits = found.ndim == 4 and size[0] == wanted[0] and (size == wanted or size[1] == 1)
    demand(fits, f"returns {size} for images of {wanted}; return N×C×H×W, or N×1×h×w for a map")
    demand(found.is_floating_point() and bool(found.isfinite().all()), "returns numbers that are not finite")
    demand(found.device == images.device, f"returns a tensor on {found.device}; leave it on {images.device}")
    demand(not found.requires_grad, "returns a tensor with a graph; detach it")
    demand(bool(found.any()), "returns 0 everywhere; does it depend on the network?")


def repeats(subject: Explaining) -> None:
    """Asked twice it gives the same: what it draws comes from a seed of its own."""
    demand(torch.equal(subject(), subject()), "gives something else the second time; draw from a generator with a seed")


def no_trace(subject: Explaining) -> None:
    """Parameters, buffers, ``.grad``, ``requires_grad``, modes, hooks, images and the random state are as before."""
    _traceless(subject, subject)


def after_an_exception(subject: Explaining) -> None:
    """They are so, too, where the network raises on the way, and its error comes through."""
    reached = []

    def fail(*_: object) -> None:
        reached.append(True)
        raise RuntimeError("on purpose")

    def failing() -> None:
        last = [module for module in subject.net.modules() if not list(module.children())][-1]
        hook = last.register_forward_hook(fail)
        try:
            subject()
        except Exception as error:
            demand("on purpose" in str(error) or bool(error.__cause__), f"hides the network's own error: {told(error)}")
        else:
            demand(not reached, "swallows the network's own error; let it pass")
        finally:
            hook.remove()

    _traceless(subject, failing)


def in_inference(subject: Explaining) -> None:
    """Inside Lightning's validation, in ``torch.inference_mode``, it gives the same."""
    wanted = subject()
    try:
        with torch.inference_mode():
            found = subject()
    except RuntimeError as error:
        way = "leave it with torch.inference_mode(False) and torch.enable_grad(), and clone the images"
        raise Failure(f"fails in torch.inference_mode: {told(error)}; {way}") from error
    same = torch.allclose(found, wanted, rtol=1e-4, atol=1e-6)
    demand(same, "gives something else in torch.inference_mode; compute it with gradients enabled")


def _traceless(subject: Explaining, run: Callable[[], object]) -> None:
    # A network that nobody has explained yet: what was changed once is not changed again.
    net = subject.net = subject.fresh()
    images = subject.images
    before, pixels, random = _state(net), images.clone(), torch.get_rng_state()
    run()
    for what, value in _state(net).items():
        same = before[what].equal(value) if isinstance(value, _Kept) else before[what] == value
        demand(same, f"changes {what}; restore what you change in a finally block")
    demand(torch.equal(images, pixels) and not images.requires_grad, "changes the images; work on a copy")
    demand(torch.equal(random, torch.get_rng_state()), "moves the random state; draw inside torch.random.fork_rng")


class _Kept:
    """Tensors by name."""

    def __init__(self, tensors: Mapping[str, Tensor | None]) -> None:
        self.tensors = {name: None if value is None else value.detach().clone() for name, value in tensors.items()}

    def equal(self, other: "_Kept") -> bool:
        return self.tensors.keys() == other.tensors.keys() and all(
            mine is theirs if mine is None or theirs is None else torch.equal(mine, theirs)
            for mine, theirs in zip(self.tensors.values(), other.tensors.values(), strict=True)
        )


def _state(net: nn.Module) -> dict[str, Any]:
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return {
        "parameters": _Kept(dict(net.named_parameters())),
        "buffers": _Kept(dict(net.named_buffers())),
        ".grad": _Kept({name: each.grad for name, each in net.named_parameters()}),
        "requires_grad": [each.requires_grad for each in net.parameters()],
        "modes": [module.training for module in net.modules()],
        "hooks": [len(getattr(module, name)) for module in net.modules() for name in hooks],
    }


CLAUSES: list[Clause[Explaining]] = [
    Clause("target", target, essential=True),
    Clause("shape", shape, essential=True),
    Clause("repeats", repeats),
    Clause("no trace", no_trace),
    Clause("after an exception", after_an_exception),
    Clause("in inference", in_inference),
]
