"""Which stages are frozen and which learn, in a line."""

from collections.abc import Collection, Iterable
from itertools import groupby

from convkit.convnet import ConvNet
from convkit.parts import parameters_of, parts


def described(net: ConvNet, frozen: Collection[str]) -> str:
    """``frozen: conv1 … conv5 (2,469,696 parameters); learning: fc6, fc7, head (54,575,114)``."""
    kinds = {stage: _kind(parameters_of(net, paths), frozen) for stage, paths in parts(net).items()}
    runs = [(kind, [stage for stage, _ in run]) for kind, run in groupby(kinds.items(), lambda item: item[1])]
    sides = {side: ", ".join(_run(kind, stages) for kind, stages in runs if kind.startswith(side) or kind == "part of")
             for side in ("frozen", "learning")}  # fmt: skip
    learning = [name for name, each in net.named_parameters() if each.requires_grad]
    return (
        f"frozen: {sides['frozen'] or 'nothing'} ({count(net, frozen):,} parameters); "
        f"learning: {sides['learning']} ({count(net, learning):,})"
    )


def thawing(net: ConvNet, names: Iterable[str], before: Collection[str], after: Collection[str]) -> str:
    """What thaws, given what was frozen before and is frozen after."""
    learning = {name for name, each in net.named_parameters() if each.requires_grad or name in before} - {*after}
    thawed = count(net, {*before} - {*after})
    return f"thawing {', '.join(names)} ({thawed:,} parameters); {count(net, learning):,} learn"


def count(net: ConvNet, names: Iterable[str]) -> int:
    """The number of values in these parameters."""
    return sum(net.get_parameter(name).numel() for name in names)


def _kind(members: Collection[str], frozen: Collection[str]) -> str:
    held = sum(name in frozen for name in members)
    if not members:
        return "nothing"
    return "frozen" if held == len(members) else "part of" if held else "learning"


def _run(kind: str, stages: list[str]) -> str:
    prefix = "part of " if kind == "part of" else ""
    if len(stages) > 3:
        return f"{prefix}{stages[0]} … {stages[-1]}"
    return ", ".join(f"{prefix}{stage}" for stage in stages)
