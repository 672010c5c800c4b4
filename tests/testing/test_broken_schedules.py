"""Each clause of the contract tells the plugin that breaks it, in a sentence with what to do; a whole one passes."""

from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from telling import assert_told
from torch import Tensor

from convkit import ConvNet, Schedule
from convkit.convnet import Outputs
from convkit.testing import schedule

Shape = tuple[int, int, int]


class Plain(Schedule):
    """Keeps the contract."""

    def __init__(self, lr: float = 0.1) -> None:
        super().__init__()
        self.lr = lr

    def optimizers(self, net: ConvNet, trainer: Trainer) -> Any:
        return torch.optim.SGD(self.param_groups(net), lr=self.lr)


class HeadOnly(Plain):
    def param_groups(self, net: ConvNet) -> list[dict[str, Any]]:
        return [{"params": list(net.head.parameters()), "name": "head"}]  # type: ignore[union-attr]


class LeavesOut(Plain):
    """Its groups are whole, and its optimizer has others."""

    def optimizers(self, net: ConvNet, trainer: Trainer) -> Any:
        return torch.optim.SGD(net.head.parameters(), lr=self.lr)  # type: ignore[union-attr]


class Twice(Plain):
    def param_groups(self, net: ConvNet) -> list[dict[str, Any]]:
        return [{"params": list(net.parameters())}, {"params": list(net.head.parameters())}]  # type: ignore[union-attr]


class Nameless(Plain):
    def losses(self, outputs: Outputs, targets: Tensor) -> dict[str, Tensor]:
        return {"cross_entropy": super().losses(outputs, targets)["loss"]}


class Detached(Plain):
    def losses(self, outputs: Outputs, targets: Tensor) -> dict[str, Tensor]:
        return {name: value.detach() for name, value in super().losses(outputs, targets).items()}


class Still(Plain):
    def __init__(self) -> None:
        super().__init__(lr=0.0)


class Negative(Plain):
    def optimizers(self, net: ConvNet, trainer: Trainer) -> Any:
        optimizer = super().optimizers(net, trainer)
        optimizer.param_groups[0]["lr"] = -0.1
        return optimizer


class Forgetful(Plain):
    """Counts its steps in itself, and begins anew when a fit goes on."""

    def optimizers(self, net: ConvNet, trainer: Trainer) -> Any:
        optimizer = super().optimizers(net, trainer)
        steps = iter(range(1000))
        optimizer.register_step_pre_hook(lambda *_: _set(optimizer, 0.1 / (1 + next(steps))))
        return optimizer


def _set(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


BROKEN: list[tuple[Any, str, str]] = [
    (Trainer, "target", "Trainer is no Schedule"),
    (HeadOnly, "groups", "is in no group"),
    (LeavesOut, "groups", "is in no group of the optimizers of a fit"),
    (Twice, "groups", "is in several groups"),
    (Nameless, "losses", "no 'loss'"),
    (Detached, "losses", "do not detach it"),
    (Negative, "rates", "step 0 has the rate lr/all -0.1"),
    (Still, "learns", "nothing was learned"),
    (Forgetful, "resumes", "other rates after going on from a checkpoint"),
]
WHOLE = [Plain]


@pytest.mark.parametrize(("target", "clause", "line"), BROKEN)
def test_a_broken_one_is_told(target: Any, clause: str, line: str) -> None:
    assert_told(schedule.examine(target, ranks=1), clause, line)


@pytest.mark.parametrize("target", WHOLE)
def test_a_whole_one_passes(target: Any) -> None:
    assert [outcome for outcome in schedule.examine(target, ranks=1) if outcome.held is not True] == []


def test_every_clause_has_one_that_breaks_it() -> None:
    # A thing of another type is told by its annotation, before it is built.
    assert {clause.name for clause in schedule.CLAUSES} - {clause for _, clause, _ in BROKEN} == {"builds"}


@pytest.mark.slow
@pytest.mark.parametrize(("target", "line"), [(Plain, "")])
def test_on_two_ranks(target: Any, line: str) -> None:
    [outcome] = [outcome for outcome in schedule.examine(target, ranks=2) if outcome.clause == "two ranks"]
    assert outcome.held is (not line)
    assert line in outcome.said
