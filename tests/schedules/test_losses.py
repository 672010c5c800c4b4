"""The loss: the main one and each auxiliary head's, weighted."""

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch.nn import functional as F  # noqa: N812 - the field's own name

from convkit.architectures.lenet import LeNet
from convkit.convnet import ConvNet, Outputs
from convkit.schedules.base import Schedule


class Fixed(Schedule):
    def optimizers(self, net: ConvNet, trainer: Trainer) -> OptimizerLRScheduler:
        return torch.optim.SGD(self.param_groups(net), lr=0.1)


@pytest.mark.parametrize("weight", [0.3, 0.0, 1.0])
@pytest.mark.parametrize("heads", [(), ("early",), ("aux1", "aux2")])
def test_loss_is_the_main_one_and_the_weighted_heads(weight: float, heads: tuple[str, ...]) -> None:
    targets = torch.randint(7, (12,))
    logits = torch.randn(12, 7, requires_grad=True)
    outputs = Outputs(logits, {name: torch.randn(12, 7, requires_grad=True) for name in heads})
    losses = Fixed(weight).losses(outputs, targets)
    assert set(losses) == {"loss", *(f"aux/{name}" for name in heads)}

    def by_hand(scores: torch.Tensor) -> float:
        return -scores.double().log_softmax(1)[range(12), targets].mean().item()

    expected = by_hand(logits) + sum(weight * by_hand(scores) for scores in outputs.aux.values())
    assert losses["loss"].item() == pytest.approx(expected, abs=1e-6)
    for name in heads:
        assert losses[f"aux/{name}"].item() == pytest.approx(by_hand(outputs.aux[name]), abs=1e-6)
    losses["loss"].backward()
    own = torch.autograd.grad(F.cross_entropy(logits, targets), logits)[0]
    torch.testing.assert_close(logits.grad, own)
    for scores in outputs.aux.values():
        own = torch.autograd.grad(weight * F.cross_entropy(scores, targets), scores)[0]
        torch.testing.assert_close(scores.grad, own)


def test_one_named_group_holds_every_parameter() -> None:
    net = LeNet(10, (1, 28, 28))
    (group,) = Fixed().param_groups(net)
    assert group["name"] == "all"
    assert {id(parameter) for parameter in group["params"]} == {id(parameter) for parameter in net.parameters()}
