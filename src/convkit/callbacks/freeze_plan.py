"""What is frozen from the start of a fit and what thaws in which order, as names of parameters: no training here."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from torch import nn

from convkit.convnet import ConvNet
from convkit.errors import UserError
from convkit.parts import BODY, HEAD, parameters_of, parts, select

# The most training images a class for each policy. Up to 122 a class, which is what was measured (docs/finetuning.md),
# "some" is as good as any and "all" the worst from 30 on; beyond that it is a rule of thumb.
AUTO: Sequence[tuple[float, str]] = ((20, "few"), (150, "some"), (500, "more"), (math.inf, "all"))


class Kinds(NamedTuple):
    """The stages below the head by kind, in forward order."""

    convolutional: list[str]
    dense: list[str]  # those between the last convolution and the head


# What learns beside the head; the more images there are, the more.
POLICIES: Mapping[str, Callable[[Kinds], list[str]]] = {
    "few": lambda kinds: [],
    "some": lambda kinds: kinds.dense or kinds.convolutional[-1:],
    "more": lambda kinds: kinds.dense + kinds.convolutional[-max(1, len(kinds.convolutional) // 2) :],
    "all": lambda kinds: kinds.dense + kinds.convolutional,
}


class Thaw(NamedTuple):
    """A step of thawing: what a config names, the parameters of that, and after how many epochs (None: at a stall)."""

    names: list[str]
    parameters: frozenset[str]
    after: int | None = None


class Plan(NamedTuple):
    """Parameters that are frozen from the start, and the steps of their thawing."""

    frozen: frozenset[str]
    thaws: list[Thaw]

    @property
    def for_ever(self) -> frozenset[str]:
        """What nothing thaws."""
        return self.frozen.difference(*(thaw.parameters for thaw in self.thaws))

    def until(self, parameter: str) -> str:
        """When a parameter begins to learn, for people to read; empty where it does from the start."""
        if parameter not in self.frozen:
            return ""
        stalls = 0
        for thaw in self.thaws:
            stalls += thaw.after is None
            if parameter in thaw.parameters:
                return f"stall {stalls}" if thaw.after is None else f"epoch {thaw.after + 1}"
        return "for ever"


def make_plan(
    net: ConvNet,
    frozen: Iterable[str],
    thaw: Mapping[int, Sequence[str]],
    thaw_when_stalled: Sequence[str],
) -> Plan:
    """The plan of a fit.

    Args:
        net: its parameters that take no gradient now are left out: they never learn.
        frozen: names of parameters.
        thaw: after how many epochs which stages, modules or patterns thaw.
        thaw_when_stalled: a stage, module or pattern for each stall.

    Raises:
        UserError: a name selects nothing, or nothing that is frozen then; nothing is left to learn.
    """
    learning = {name for name, parameter in net.named_parameters() if parameter.requires_grad}
    start = frozenset(frozen) & learning
    steps: list[tuple[str, list[str], int | None]]
    steps = [(f"thaw {after}", list(names), after) for after, names in thaw.items()]
    steps += [("thaw_when_stalled", [name], None) for name in thaw_when_stalled]
    still, thaws = set(start), []
    for option, names, after in steps:
        for name in names:
            members = selected(net, [name], f"Freezing.{option}")
            if not members & still:
                raise UserError(f"Freezing.{option}: {name!r} is not frozen by then, and cannot thaw; leave it out")
            still -= members
        thaws.append(Thaw(names, selected(net, names, option), after))
    if start >= learning:
        raise UserError(f"Freezing freezes all of {type(net).__name__}: nothing is left to learn; leave out {HEAD!r}")
    return Plan(start, thaws)


def selected(net: ConvNet, names: Iterable[str], option: str) -> frozenset[str]:
    """The parameters of stages, modules or patterns.

    ``body`` has the auxiliary heads with it: all that they do is to teach the body, and a frozen one learns nothing.
    """
    found: set[str] = set()
    for name in names:
        found.update(select(net, name, option))
        if name == BODY:
            of_stage = parts(net)
            found.update(parameters_of(net, [path for head in net.aux_heads for path in of_stage[head]]))
    return frozenset(found)


def frozen_by(net: ConvNet, policy: str) -> frozenset[str]:
    """What a policy freezes. Auxiliary heads are part of what lies below the head: they learn where ``all`` does.

    Raises:
        UserError: the network has no head, which every policy lets learn.
    """
    if policy == "all":
        return frozenset()
    if HEAD not in net.stages:
        raise UserError(f"Freezing.policy {policy}: {type(net).__name__} has no stage {HEAD!r}; name stages in freeze")
    of_stage = parts(net)
    learning = [HEAD, *POLICIES[policy](kinds(net))]
    learn = parameters_of(net, [path for stage in learning for path in of_stage[stage]])
    return frozenset(name for name, _ in net.named_parameters()) - set(learn)


def kinds(net: ConvNet) -> Kinds:
    """A dense stage is one that holds a single dense layer and no convolution, with none but dense ones above it."""
    modules = dict(net.named_modules())
    below = [(stage, [modules[path] for path in paths]) for stage, paths in parts(net).items()
             if stage in net.stages and stage != HEAD and parameters_of(net, paths)]  # fmt: skip
    count = 0
    while count < len(below) and _is_dense(below[-1 - count][1]):
        count += 1
    names = [stage for stage, _ in below]
    return Kinds(names[: len(names) - count], names[len(names) - count :])


def _is_dense(members: Sequence[nn.Module]) -> bool:
    holders = [module for module in members if next(module.parameters(recurse=False), None) is not None]
    layers = [module for module in holders if not isinstance(module, nn.modules.batchnorm._NormBase | nn.LayerNorm)]
    return len(layers) == 1 and isinstance(layers[0], nn.Linear)


def policy_for(images: int, classes: int) -> str:
    """What ``auto`` stands for, given the number of training images."""
    return next(policy for most, policy in AUTO if images / classes <= most)
