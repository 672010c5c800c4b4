"""A rule acts on every rectifier, however it is written, and says so where there is none."""

import pytest
import torch
from nets import FORMS, FORMS_OF_SIX, Call, two_layers
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the field's own name

from convkit.architectures.lenet import LeNet
from convkit.errors import UserError
from convkit.explainers.deconvnet import project
from convkit.explainers.deconvolution import deconvnet
from convkit.explainers.guided_backprop import guided_backprop

IMAGES, TARGETS = torch.randn(2, 3, 12, 12, generator=torch.Generator().manual_seed(0)), torch.tensor([1, 4])
RULES = {
    deconvnet: lambda signal, output, six: signal.clamp(min=0),
    guided_backprop: lambda signal, output, six: signal.clamp(min=0) * ((output > 0) & (output < six)),
}


def by_hand(net: nn.Module, rule, six: float = float("inf")) -> Tensor:
    """Forward and back with each layer's own backward pass spelled out."""
    first, _, pool, second, _, _, _, head = net.inner
    with torch.no_grad():
        a = first(IMAGES)
        b = a.clamp(0, six)
        c, switches = F.max_pool2d(b, pool.kernel_size, return_indices=True)
        d = second(c)
        e = d.clamp(0, six)
        signal = head.weight[TARGETS][:, :, None, None].expand_as(e) / e[0, 0].numel()
        signal = F.conv_transpose2d(rule(signal, e, six), second.weight)
        signal = F.max_unpool2d(signal, switches, 2)
        signal = F.pad(signal, [0, b.shape[3] - signal.shape[3], 0, b.shape[2] - signal.shape[2]])
        return F.conv_transpose2d(rule(signal, b, six), first.weight)


@pytest.mark.parametrize("explainer", RULES)
@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_relu(form: str, explainer) -> None:
    net = two_layers(FORMS[form](), FORMS[form]())
    torch.testing.assert_close(explainer(net, IMAGES, TARGETS), by_hand(net, RULES[explainer]))


@pytest.mark.parametrize("explainer", RULES)
@pytest.mark.parametrize("form", FORMS_OF_SIX)
def test_every_form_of_relu6(form: str, explainer) -> None:
    """The first convolution so large that a good part of its outputs is cut off above."""
    net = two_layers(FORMS_OF_SIX[form](), FORMS_OF_SIX[form](), scale=12.0)
    cut = (net.inner[0](IMAGES) > 6).float().mean()
    assert cut > 0.1
    torch.testing.assert_close(explainer(net, IMAGES, TARGETS), by_hand(net, RULES[explainer], 6.0))


@pytest.mark.parametrize("explainer", RULES)
def test_a_relu_used_twice(explainer) -> None:
    relu = nn.ReLU()
    torch.testing.assert_close(
        explainer(two_layers(relu, relu), IMAGES, TARGETS), by_hand(two_layers(relu, relu), RULES[explainer])
    )


@pytest.mark.parametrize("explainer", RULES)
def test_what_is_no_rectifier_keeps_its_gradient(explainer) -> None:
    """A leaky ReLU, a clamp from below 0 and one of a tensor stay as they are, beside one ReLU."""
    forms = [F.leaky_relu, lambda x: torch.clamp(x, -1, 1), lambda x: torch.clamp(x, min=torch.tensor(0.1))]
    for function in forms:
        layers = nn.Sequential(nn.Conv2d(3, 4, 3), Call(function), nn.ReLU(), nn.Flatten(), nn.Linear(400, 5))
        leaf = IMAGES.clone().requires_grad_()
        before = layers[1](layers[0](leaf))
        signal = RULES[explainer](layers[4].weight[TARGETS].view_as(before), before.detach(), float("inf"))
        (expected,) = torch.autograd.grad(before, leaf, signal)
        torch.testing.assert_close(explainer(layers, IMAGES, TARGETS), expected)


@pytest.mark.parametrize("explainer", RULES)
@pytest.mark.parametrize("act", [nn.Tanh, nn.GELU, nn.SiLU, nn.Hardswish, nn.ELU])
def test_no_rectifier(explainer, act: type[nn.Module]) -> None:
    with pytest.raises(UserError, match=f"^{explainer.__name__} acts on ReLUs, and the signal met none; use saliency"):
        explainer(two_layers(act(), act()), IMAGES, TARGETS)


def test_no_rectifier_up_to_the_stage() -> None:
    net = LeNet(10, (1, 32, 32), activation="tanh")
    with pytest.raises(UserError, match=r"^deconvnet acts on ReLUs"):
        project(net, torch.randn(1, 1, 32, 32), "conv1", torch.tensor([0]), torch.tensor([[0, 0]]))
