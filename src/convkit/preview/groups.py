"""The parameter groups of a fit's optimizers, a row each."""

from typing import NamedTuple

from torch.optim import Optimizer

from convkit.convnet import ConvNet
from convkit.preview.frozen import NEVER, START, Frozen


class Group(NamedTuple):
    """``lr`` is its own rate, which a policy multiplies; ``learns`` how many parameters learn from when on."""

    name: str
    parameters: int
    lr: float
    weight_decay: float
    learns: dict[str, int]


def name_of(group: dict[str, object], index: int) -> str:
    """As its rate is logged, after ``lr/``."""
    return str(group.get("name", index))


def groups(net: ConvNet, optimizers: list[Optimizer], frozen: Frozen) -> list[Group]:
    names = {id(each): name for name, each in net.named_parameters()}
    rows = []
    for index, group in enumerate(group for optimizer in optimizers for group in optimizer.param_groups):
        learns: dict[str, int] = {}
        for each in group["params"]:
            when = frozen.from_when(names[id(each)])
            learns[when] = learns.get(when, 0) + each.numel()
        learns = dict(sorted(learns.items(), key=lambda item: _order(item[0])))
        decay = float(group.get("weight_decay", 0.0))
        rows.append(
            Group(
                name_of(group, index), sum(learns.values()), float(group.get("initial_lr", group["lr"])), decay, learns
            )
        )
    return rows


def _order(when: str) -> tuple[int, int]:
    kind, _, number = when.partition(" ")
    return [START, "epoch", "stall", NEVER].index(kind), int(number or 0)


def left_out(net: ConvNet, optimizers: list[Optimizer], frozen: Frozen) -> list[str]:
    """Names of parameters that no optimizer has, and that are meant to learn."""
    held = {id(each) for optimizer in optimizers for group in optimizer.param_groups for each in group["params"]}
    return [name for name, each in net.named_parameters() if id(each) not in held and name not in frozen.for_ever]
