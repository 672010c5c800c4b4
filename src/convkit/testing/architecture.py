"""The contract of an architecture: ``factory(num_classes, image_shape, **options) -> ConvNet``."""

import copy
import io
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from convkit.convnet import ConvNet, as_outputs
from convkit.sizes import times
from convkit.testing.contract import Clause, Failure, Outcome, check_target, demand, enforce, judge, refusal, some, told
from convkit.testing.replicas import agree

Shape = tuple[int, int, int]
SIDES = (32, 28, 64, 96, 128, 224, 299)
CLASSES = 7


@dataclass
class Architecture:
    """What is checked, and the network that most clauses look at."""

    factory: Any
    options: Mapping[str, Any]
    ranks: int = 2
    shape: Shape | None = None

    def build(self, shape: Shape | None = None) -> ConvNet:
        net: ConvNet = self.factory(CLASSES, shape or self.image_shape, **self.options)
        return net

    @cached_property
    def image_shape(self) -> Shape:
        if self.shape:
            return self.shape
        why: str | None = None
        for side in SIDES:
            for channels in (3, 1):
                try:
                    why = refusal(lambda: self.build((channels, side, side)))  # noqa: B023
                except Failure:
                    raise
                except Exception as error:  # such as an assertion
                    why = told(error)
                if why is None:
                    return (channels, side, side)
        sides = ", ".join(map(str, SIDES))
        raise Failure(f"takes no square image of {sides} pixels, coloured or grey ({why}); name one that it takes")

    @cached_property
    def net(self) -> ConvNet:
        shape = self.image_shape  # what is tried for that draws, too
        torch.manual_seed(0)
        return self.build(shape)

    def images(self, count: int = 4, shape: Shape | None = None) -> Tensor:
        return torch.randn(count, *(shape or self.image_shape), generator=torch.Generator().manual_seed(1))

    def logits(self, net: ConvNet) -> Tensor:
        with torch.no_grad():
            logits: Tensor = net.eval()(self.images())
        return logits


def examine(
    factory: Any, image_shape: Shape | None = None, ranks: int = 2, options: Mapping[str, Any] | None = None
) -> list[Outcome]:
    """What each clause of the contract found."""
    subject = Architecture(factory, options or {}, ranks, image_shape)
    with torch.random.fork_rng(devices=[]):
        return judge([*CLAUSES, Clause("two ranks", two_ranks)] if ranks > 1 else CLAUSES, subject)


def check_architecture(factory: Any, *, image_shape: Shape | None = None, ranks: int = 2, **options: Any) -> None:
    """The contract of an architecture.

    Args:
        factory: what the entry point names: a ``ConvNet`` class, or a function that is annotated to return one.
        image_shape: C×H×W; by default the first of 32, 28, 64, 96, 128, 224 and 299 pixels square, with three
            channels or one, that it takes.
        ranks: processes of the last clause, which takes seconds; 1 leaves it out.
        options: the architecture's own.

    Raises:
        ContractError: a line for each clause that does not hold.
    """
    enforce(examine(factory, image_shape, ranks, options))


def target(subject: Architecture) -> None:
    """A class below ``ConvNet``, or a function annotated to return one; ``num_classes`` and ``image_shape`` first,
    every option with a type."""
    check_target(subject.factory, ConvNet, ("num_classes", "image_shape"))


def builds(subject: Architecture) -> None:
    """For some square image of three channels, or of one, it makes a ``ConvNet``."""
    made = type(subject.net).__name__
    demand(isinstance(subject.net, ConvNet), f"makes a {made}; return a convkit.ConvNet")


def shapes(subject: Architecture) -> None:
    """N×C×H×W images to N×K finite logits; one channel and unequal sides too, or refused by the constructor in one
    line (a ``ValueError``)."""
    channels, height, width = subject.image_shape
    for shape in ((channels, height, width), (1, height, width), (channels, height, width * 3 // 2)):
        if shape != subject.image_shape and refusal(lambda shape=shape: subject.build(shape)):  # type: ignore[misc]
            continue
        _takes(subject, shape)


def _takes(subject: Architecture, shape: Shape) -> None:
    what = f"an image of {times(shape)}"
    net = subject.build(shape).eval()
    try:
        with torch.no_grad():
            logits = net(subject.images(2, shape))
    except Exception as error:
        way = "size it by image_shape, or raise a ValueError in the constructor"
        raise Failure(f"{what} is built for and then raises {told(error)}; {way}") from error
    demand(isinstance(logits, Tensor), f"evaluation returns a {type(logits).__name__}; return the N×K logits alone")
    sizes = times(tuple(logits.shape))
    demand(logits.shape == (2, CLASSES), f"{what} gives {sizes} for 2×{CLASSES}; let the last layer have num_classes")
    demand(bool(logits.isfinite().all()), f"{what} gives logits that are not finite; look at the initial weights")


def small_image(subject: Architecture) -> None:
    """An image of 1×1 is taken, or refused by the constructor in one line, before a fit begins."""
    shape = (subject.image_shape[0], 1, 1)
    if not refusal(lambda: subject.build(shape)):
        try:
            with torch.no_grad():
                subject.build(shape).eval()(subject.images(2, shape))
        except Exception as error:
            way = "call convkit.sizes.output_shape at the end of the constructor, which names the smallest"
            raise Failure(f"an image too small fails in forward only ({told(error)}); {way}") from error


def backward(subject: Architecture) -> None:
    """In training mode every parameter gets a finite gradient, and ``Outputs.aux`` has the ``aux_heads``."""
    net = copy.deepcopy(subject.net).train()
    outputs = as_outputs(net(subject.images()))
    heads, named = list(outputs.aux), list(net.aux_heads)
    demand(heads == named, f"Outputs.aux has {heads} and aux_heads {named}; give both the same names in one order")
    for name, logits in (("the logits", outputs.logits), *outputs.aux.items()):
        sizes, wanted = times(tuple(logits.shape)), f"{len(subject.images())}×{CLASSES}"
        demand(sizes == wanted, f"in training {name} are {sizes} for {wanted}; let each head have num_classes outputs")
    total = sum(logits.square().sum() for logits in (outputs.logits, *outputs.aux.values()))
    demand(isinstance(total, Tensor) and total.requires_grad, "the logits have no graph; do not detach them")
    total.backward()  # type: ignore[union-attr]
    learning = {name: each for name, each in net.named_parameters() if each.requires_grad}
    unused = [name for name, each in learning.items() if each.grad is None]
    demand(not unused, f"{some(unused)} gets no gradient; use each parameter in forward or do not make it")
    idle = _idle(subject, [name for name, each in learning.items() if each.grad is not None and not each.grad.any()])
    demand(not idle, f"the gradient of {some(idle)} is 0 throughout; let the logits depend on it, or do not make it")
    endless = [name for name, each in learning.items() if each.grad is not None and not each.grad.isfinite().all()]
    demand(not endless, f"the gradient of {some(endless)} is not finite; look at what forward divides by")


def _idle(subject: Architecture, names: list[str]) -> list[str]:
    """Those whose gradient stays 0 when all weights are others: a weight that starts at 0 may hide those before it."""
    for seed in range(3 if names else 0):
        net = copy.deepcopy(subject.net).train()
        torch.manual_seed(seed)
        with torch.no_grad():
            for each in net.parameters():
                each.add_(0.1 * torch.randn_like(each))
        outputs = as_outputs(net(subject.images()))
        sum(logits.square().sum() for logits in (outputs.logits, *outputs.aux.values())).backward()  # type: ignore[union-attr]
        own = dict(net.named_parameters())
        names = [name for name in names if own[name].grad is not None and not own[name].grad.any()]  # type: ignore[union-attr]
    return names


def evaluation(subject: Architecture) -> None:
    """In evaluation the same images give the same logits, alone and among others; nothing in the network changes."""
    net = subject.net.eval()
    before = copy.deepcopy(net.state_dict())
    first, second = subject.logits(net), subject.logits(net)
    demand(torch.equal(first, second), "evaluates twice to different logits; draw nothing at random when not training")
    changed = [name for name, value in net.state_dict().items() if not torch.equal(value, before[name])]
    demand(not changed, f"evaluation changes {some(changed)}; write to buffers only while training")
    with torch.no_grad():
        alone = torch.cat([net(image[None]) for image in subject.images()])
    near = torch.allclose(alone, first, rtol=1e-3, atol=1e-3 * float(first.abs().max()))
    demand(near, "an image alone has other logits than among others; let none look at the rest of the batch")


def seed(subject: Architecture) -> None:
    """Under one seed it has the same weights, built twice, and a training pass gives the same logits."""
    torch.manual_seed(0)
    again = subject.build().state_dict()
    other = [name for name, value in subject.net.state_dict().items() if not torch.equal(value, again[name])]
    demand(not other, f"{some(other)} differs under the same seed; draw from torch's default generator")
    trained = []
    for _ in range(2):
        net = copy.deepcopy(subject.net).train()
        torch.manual_seed(3)
        trained.append(as_outputs(net(subject.images())).logits)
    way = "draw from torch's default generator"
    demand(torch.equal(*trained), f"a training pass gives other logits under the same seed; {way}")


def state_dict(subject: Architecture) -> None:
    """Its ``state_dict`` is tensors alone, and a network of other weights that loads it gives the same logits."""
    file = io.BytesIO()
    torch.save(subject.net.state_dict(), file)
    file.seek(0)
    torch.manual_seed(2)
    other = subject.build()
    try:
        other.load_state_dict(torch.load(file, weights_only=True))
    except pickle.UnpicklingError as error:
        raise Failure("its state_dict holds more than tensors; keep other state out of get_extra_state") from error
    same = torch.equal(subject.logits(other), subject.logits(subject.net))
    demand(same, "has other logits after load_state_dict; make everything that matters a parameter or a buffer")


def pickling(subject: Architecture) -> None:
    """It can be pickled, and is the same afterwards."""
    try:
        again: ConvNet = pickle.loads(pickle.dumps(subject.net))
    except Exception as error:
        raise Failure(f"cannot be pickled: {told(error)}; keep lambdas and local functions out of modules") from error
    same = torch.equal(subject.logits(again), subject.logits(subject.net))
    demand(same, "has other logits once pickled; keep all state in parameters and buffers")


def stages(subject: Architecture) -> None:
    """``stages`` names modules in forward order, each called once, and no later layer overwrites what one put out."""
    net, kept = subject.net.eval(), list[tuple[str, Tensor, Tensor]]()
    demand(
        bool(getattr(net, "stages", None)), "has no stages; name its layers, stages = {'conv1': 'path.of.module', …}"
    )
    modules = dict(net.named_modules())
    lost = [f"{name} ({path})" for name, path in net.stages.items() if path not in modules]
    demand(not lost, f"{some(lost)} is no module of the network; correct its path in stages")

    def keep(name: str, output: Any) -> None:
        demand(
            isinstance(output, Tensor), f"stage {name} puts out a {type(output).__name__}; name a module with a tensor"
        )
        kept.append((name, output, output.clone()))

    hooks = [
        net.stage(name).register_forward_hook(lambda module, inputs, output, name=name: keep(name, output))
        for name in net.stages
    ]
    try:
        subject.logits(net)
    finally:
        for hook in hooks:
            hook.remove()
    order = [name for name, _, _ in kept]
    wanted = list(net.stages)
    way = "put them in forward order, each a module that is called once"
    demand(order == wanted, f"stages are {', '.join(wanted)} and forward passes {', '.join(order) or 'none'}; {way}")
    overwritten = [name for name, output, before in kept if not torch.equal(output, before)]
    demand(
        not overwritten, f"a later layer overwrites {some(overwritten)} in place; name that layer, or work on a copy"
    )


def two_ranks(subject: Architecture) -> None:
    """On two processes, each with images of its own, it has the same weights from the start, uses every parameter (DDP
    raises otherwise), and gives one image the same logits."""
    agree(subject.ranks, subject.factory, subject.options, subject.image_shape)


CLAUSES: list[Clause[Architecture]] = [
    Clause("target", target, essential=True),
    Clause("builds", builds, essential=True),
    Clause("shapes", shapes),
    Clause("small image", small_image),
    Clause("backward", backward),
    Clause("evaluation", evaluation),
    Clause("seed", seed),
    Clause("state_dict", state_dict),
    Clause("pickling", pickling),
    Clause("stages", stages),
]
