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
from convkit.testing.contract import Clause, Failure, Outcome, demand, enforce, judge, some, told
from convkit.testing.traces import differences, state

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
    switched: bool = False  # whether it left autograd on or off, other than it was

    @cached_property
    def net(self) -> ConvNet:
        return copy.deepcopy(self.given) if self.given is not None else small()

    @cached_property
    def images(self) -> Tensor:
        if self.pixels is not None:
            return self.pixels.clone()
        return torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))

    @cached_property
    def targets(self) -> Tensor:
        return torch.arange(len(self.images)) + 1

    def renew(self) -> None:
        """All as nobody has explained it yet: what was changed once is not changed again."""
        for name in ("net", "images", "targets"):
            vars(self).pop(name, None)

    def __call__(self) -> Tensor:
        images = self.images
        if "average" in inspect.signature(self.function).parameters:  # it makes its own image, from the average one
            images = torch.zeros_like(images)
        before = torch.is_grad_enabled()
        try:
            found: Tensor = self.function(self.net, images, self.targets, **self.options)
        finally:
            self.switched |= before != torch.is_grad_enabled()
            torch.set_grad_enabled(before)  # or the clauses behind this one fail
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
    bare = [each.name for each in parameters[:3] if each.kind in (each.KEYWORD_ONLY, each.VAR_KEYWORD)]
    demand(not bare, f"{some(bare)} cannot be given by place; take (net, images, targets) first")
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
    """The network (weights, buffers, ``.grad``, modes, modules and what they hold, hooks), images and targets, random
    states and torch's switches are as before."""
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
    subject.renew()
    given = (subject.net, subject.images, subject.targets)
    before = state(*given)
    run()
    demand(not subject.switched, "leaves autograd switched; use `with torch.no_grad()` around what needs it")
    changed = differences(before, state(*given))
    demand(not changed, f"changes {some(changed)}; work inside convkit.explainers.base.subject, or restore it yourself")


CLAUSES: list[Clause[Explaining]] = [
    Clause("target", target, essential=True),
    Clause("shape", shape, essential=True),
    Clause("repeats", repeats),
    Clause("no trace", no_trace),
    Clause("after an exception", after_an_exception),
    Clause("in inference", in_inference),
]
