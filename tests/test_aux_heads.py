"""The contract of auxiliary heads, on every architecture that has them."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - the field's own name

from convkit.architectures.googlenet import GoogLeNet
from convkit.architectures.inception import InceptionV3
from convkit.convnet import as_outputs
from convkit.schedules.plateau import Plateau

SMALL = {"stem": "small", "width": 0.0625}
NETWORKS = {
    "googlenet": lambda: GoogLeNet(10, (3, 32, 32), **SMALL),
    "googlenet_plain": lambda: GoogLeNet(10, (3, 32, 32), batch_norm=False, **SMALL),
    "bn_inception": lambda: GoogLeNet(10, (3, 32, 32), variant="bn_inception", aux=True, **SMALL),
    "inception_v3": lambda: InceptionV3(10, (3, 32, 32), **SMALL),
}


@pytest.fixture(params=NETWORKS)
def net(request):
    return NETWORKS[request.param]()


@pytest.fixture
def images():
    return torch.randn(6, 3, 32, 32)


def test_outputs_are_named_as_the_heads(net, images):
    assert net.aux_heads
    returned = net.train()(images)
    assert list(returned.aux) == list(net.aux_heads)
    assert all(logits.shape == (6, 10) for logits in returned.aux.values())


def test_evaluation_returns_the_logits(net, images):
    returned = net.eval()(images)
    assert type(returned) is torch.Tensor
    assert returned.shape == (6, 10)


def test_dropped_heads_leave_no_parameter_and_the_same_logits(net, images):
    net(images)  # so that batch norm has statistics
    with torch.no_grad():
        before = net.eval()(images)
    prefixes = tuple(f"{attribute}." for attribute in net.aux_heads.values())
    kept = {key: value for key, value in net.state_dict().items() if not key.startswith(prefixes)}
    assert len(kept) < len(net.state_dict())
    net.drop_aux()
    assert net.state_dict().keys() == kept.keys()
    with torch.no_grad():
        assert torch.equal(net(images), before)
    assert as_outputs(net.train()(images)).aux == {}


def test_dropping_is_of_one_network_not_of_its_class():
    dropped, other = (InceptionV3(10, (3, 32, 32), **SMALL) for _ in range(2))
    dropped.drop_aux()
    assert dropped.aux_heads == {}
    assert other.aux_heads == {"aux": "AuxLogits"}
    assert other.AuxLogits is not None


def test_loss_is_the_main_one_and_the_weighted_heads(net, images):
    targets = torch.randint(10, (6,))
    returned = net(images)
    losses = Plateau(aux_weight=0.3).losses(returned, targets)
    expected = F.cross_entropy(returned.logits.double(), targets)
    for name, logits in returned.aux.items():
        head = F.cross_entropy(logits.double(), targets)
        assert losses[f"aux/{name}"].item() == pytest.approx(head.item(), abs=1e-6)
        expected = expected + 0.3 * head
    assert losses["loss"].item() == pytest.approx(expected.item(), abs=1e-6)
    assert set(losses) == {"loss", *(f"aux/{name}" for name in net.aux_heads)}


def test_every_parameter_gets_a_gradient(net, images):
    """None is left unused, so that DDP need not look for any."""
    net.train()
    Plateau().losses(net(images), torch.randint(10, (6,)))["loss"].backward()
    assert [name for name, parameter in net.named_parameters() if parameter.grad is None] == []


def test_each_head_alone_teaches_the_stem(net, images):
    first = next(module for module in net.modules() if isinstance(module, nn.Conv2d))
    returned = net(images)
    for logits in (returned.logits, *returned.aux.values()):
        loss = F.cross_entropy(logits, torch.arange(6))
        (gradient,) = torch.autograd.grad(loss, first.weight, retain_graph=True)
        assert gradient.abs().max() > 0


def test_a_head_does_not_touch_what_comes_after_it():
    net = GoogLeNet(10, (3, 32, 32), **SMALL)
    net(torch.randn(4, 3, 32, 32)).aux["aux1"].sum().backward()
    reached = {name.split(".")[0] for name, parameter in net.named_parameters() if parameter.grad is not None}
    assert "inception4a" in reached
    assert not reached & {"inception4b", "inception5b", "aux2", "fc"}


def test_without_heads_training_returns_plain_logits():
    for build in (GoogLeNet, InceptionV3):
        net = build(10, (3, 32, 32), aux=False, **SMALL)
        assert net.aux_heads == {}
        assert type(net(torch.randn(2, 3, 32, 32))) is torch.Tensor
