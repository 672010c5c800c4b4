"""The loss: the main one and each auxiliary head's, weighted."""

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the field's own name

from convkit.convnet import ConvNet, Outputs
from convkit.errors import UserError
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


def plain(scores: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    """Mean over the batch of -Σ q log p, where q is what is aimed at, some of it spread over all classes."""
    classes = scores.shape[1]
    aim = torch.nn.functional.one_hot(targets, classes) if targets.ndim == 1 else targets
    aim = (1 - smoothing) * aim.double() + smoothing / classes
    return -(aim * (scores.double().exp() / scores.double().exp().sum(1, keepdim=True)).log()).sum(1).mean()


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_smoothed_and_soft_targets_for_every_head(smoothing: float, soft: bool) -> None:
    targets = torch.rand(12, 7).softmax(1) if soft else torch.randint(7, (12,))
    outputs = Outputs(torch.randn(12, 7), {"aux1": torch.randn(12, 7), "aux2": torch.randn(12, 7)})
    losses = Fixed({"aux1": 0.3, "aux2": 0.7}, label_smoothing=smoothing).losses(outputs, targets)
    main, first, second = (plain(scores, targets, smoothing) for scores in (outputs.logits, *outputs.aux.values()))
    assert losses["aux/aux1"].item() == pytest.approx(first.item(), abs=1e-6)
    assert losses["aux/aux2"].item() == pytest.approx(second.item(), abs=1e-6)
    assert losses["loss"].item() == pytest.approx((main + 0.3 * first + 0.7 * second).item(), abs=1e-6)


def test_a_head_that_is_not_named_counts_nothing_and_has_its_curve() -> None:
    targets = torch.randint(7, (12,))
    aux = {name: torch.randn(12, 7, requires_grad=True) for name in ("aux1", "aux2")}
    losses = Fixed({"aux2": 0.5}).losses(Outputs(torch.randn(12, 7), aux), targets)
    assert losses["aux/aux1"].item() == pytest.approx(plain(aux["aux1"], targets, 0).item(), abs=1e-6)
    losses["loss"].backward()
    assert aux["aux1"].grad is not None  # nought, but there: DDP waits for it
    assert not aux["aux1"].grad.any()
    assert aux["aux2"].grad is not None
    assert aux["aux2"].grad.any()


def test_an_unknown_head() -> None:
    outputs = Outputs(torch.randn(2, 7), {"aux1": torch.randn(2, 7), "aux2": torch.randn(2, 7)})
    with pytest.raises(UserError, match=r"aux_weight: 'aux3' is no auxiliary head of the network: aux1, aux2$"):
        Fixed({"aux3": 0.3}).losses(outputs, torch.zeros(2, dtype=torch.long))
