"""Captum's methods against closed forms and plainer re-implementations, and what every explainer promises."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from convkit_captum.perturbations import grid
from torch import Tensor, nn

from convkit import UserError
from convkit.convnet import Wrapped
from convkit.explainers.occlusion import occlusion
from convkit.plugins import find, load

OPTIONS: dict[str, dict[str, Any]] = {
    "feature_ablation": {"cells": 3},
    "gradient_shap": {"samples": 5, "baselines": 3, "noise": 0.1},
    "integrated_gradients": {"steps": 5},
    "lime": {"cells": 2, "samples": 10},
    "noise_tunnel": {"samples": 3},
}
ONE_CHANNEL = {"lime", "feature_ablation"}
NAMES = sorted(OPTIONS)
IMAGES, TARGETS = torch.randn(2, 3, 12, 15, generator=torch.Generator().manual_seed(0)), torch.tensor([1, 4])


def net() -> Wrapped:
    """Works in place, draws while it predicts, has a frozen weight and a module in a mode of its own."""
    torch.manual_seed(3)
    layers = nn.Sequential(
        nn.ReLU(inplace=True),
        nn.Conv2d(3, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.Conv2d(8, 6, 3),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 5),
    )
    layers[4].weight.requires_grad_(False)
    layers[2].eval()
    return Wrapped(layers, {"conv1": "3", "conv2": "5", "head": "8"})


def linear() -> Wrapped:
    """Logits that are a linear function of the pixels."""
    torch.manual_seed(4)
    return Wrapped(nn.Sequential(nn.Flatten(), nn.Linear(3 * 12 * 15, 5)), {"head": "1"})


def explain(
    name: str, network: nn.Module, images: Tensor = IMAGES, targets: Tensor = TARGETS, **options: Any
) -> Tensor:
    found: Tensor = load(find("explainer", name))(network, images, targets, **{**OPTIONS[name], **options})
    return found


def weights(of: Wrapped) -> Tensor:
    """2×3×12×15: those of the targets, in a linear network."""
    layer = of.stage("head")
    assert isinstance(layer, nn.Linear)
    return layer.weight.detach()[TARGETS].view(2, 3, 12, 15)


def logits(of: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        return copy.deepcopy(of).eval()(images.clone())[torch.arange(len(images)), TARGETS]


def test_each_is_registered_by_this_distribution() -> None:
    assert {find("explainer", name).distribution for name in NAMES} == {"convkit-captum"}


# -- what they compute -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0.0, 0.5])
def test_integrated_gradients_add_up_to_what_the_score_gains(value: float) -> None:
    of = net()
    found = explain("integrated_gradients", of, steps=200, value=value)
    gained = logits(of, IMAGES) - logits(of, torch.full_like(IMAGES, value))
    torch.testing.assert_close(found.sum((1, 2, 3)), gained, rtol=0, atol=0.01 * gained.abs().max().item())


def test_integrated_gradients_are_a_sum_on_a_straight_way() -> None:
    """Beside the midpoint rule, which is plainer and coarser, of a smooth network."""
    torch.manual_seed(5)
    of = Wrapped(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(4 * 130, 5)), {"head": "3"})
    points, total = (torch.arange(400) + 0.5) / 400, torch.zeros_like(IMAGES)
    for point in points:
        at = (point * IMAGES).requires_grad_()
        total += torch.autograd.grad(of(at)[torch.arange(2), TARGETS].sum(), at)[0] / len(points)
    torch.testing.assert_close(explain("integrated_gradients", of, steps=50), IMAGES * total, rtol=1e-3, atol=1e-5)


def test_without_noise_the_tunnel_is_the_gradient() -> None:
    of = net()
    at = IMAGES.clone().requires_grad_()
    values = copy.deepcopy(of).eval()(at.clone())[torch.arange(2), TARGETS]
    (gradient,) = torch.autograd.grad(values.sum(), at)
    torch.testing.assert_close(explain("noise_tunnel", of, noise=0.0), gradient)
    torch.testing.assert_close(explain("noise_tunnel", of, noise=0.0, kind="smoothgrad_sq"), gradient**2)
    assert explain("noise_tunnel", of, noise=0.0, kind="vargrad").abs().max() < 1e-9


@pytest.mark.parametrize("kind", ["smoothgrad", "smoothgrad_sq", "vargrad"])
def test_smoothgrad_again(kind: str) -> None:
    """The mean over the same draws, written out; noise as a share of each image's own range."""
    of = net()
    plain, expected = copy.deepcopy(of).eval(), []
    for image, target in zip(IMAGES, TARGETS, strict=True):
        torch.manual_seed(7)
        deviation = 0.2 * (image.max() - image.min())
        noisy = (image + torch.normal(0.0, deviation.expand(40, *image.shape))).requires_grad_()
        gradients = torch.autograd.grad(plain(noisy.clone())[:, target].sum(), noisy)[0]
        mean, square = gradients.mean(0), gradients.square().mean(0)
        expected.append({"smoothgrad": mean, "smoothgrad_sq": square, "vargrad": square - mean**2}[kind])
    found = explain("noise_tunnel", of, kind=kind, samples=40, noise=0.2, seed=7)
    torch.testing.assert_close(found, torch.stack(expected), rtol=1e-4, atol=1e-6)


def test_the_tunnel_around_integrated_gradients() -> None:
    of = linear()
    found = explain("noise_tunnel", of, method="integrated_gradients", samples=200, noise=0.01)
    torch.testing.assert_close(found, weights(of) * IMAGES, rtol=0, atol=1e-3)


def test_gradient_shap_of_a_linear_network() -> None:
    """w·(x − b), each pixel's baseline on average 0; and what they add up to."""
    of = linear()
    found = explain("gradient_shap", of, samples=2000, baselines=2000, noise=0.0)
    difference = found / weights(of) - IMAGES
    assert difference.mean((0, 2, 3)).abs().max() < 0.1  # 2000 draws of deviation 1: 0.02 is one deviation
    colours = difference.flatten(2)
    torch.testing.assert_close(colours, colours[:, :, :1].expand_as(colours), rtol=0, atol=1e-3)  # one of all pixels


def test_feature_ablation_is_occlusion_by_windows_side_by_side() -> None:
    of, images = net(), torch.randn(2, 3, 12, 16)
    expected = occlusion(of, images, TARGETS, size=4, stride=4, value=0.3)
    for batch_size in (1, 7, 64):
        found = explain("feature_ablation", of, images, cells=3, value=0.3, batch_size=batch_size)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_lime_finds_the_weights_of_a_linear_network() -> None:
    of = linear()
    found = explain("lime", of, cells=3, samples=400, penalty=1e-6)
    torch.testing.assert_close(found, explain("feature_ablation", of, cells=3), rtol=0, atol=2e-3)


def test_a_grid_of_squares() -> None:
    mask = grid(torch.zeros(4, 3, 8, 12), 4)
    assert mask.shape == (1, 3, 8, 12)
    assert torch.equal(mask[0, 0], mask[0, 2])
    assert torch.equal(mask[0, 0, ::2, ::2], torch.arange(24).view(4, 6))
    assert torch.bincount(grid(torch.zeros(1, 1, 10, 13), 4).flatten()).tolist().count(0) == 0


@pytest.mark.parametrize("name", NAMES)
def test_units_of_a_stage(name: str) -> None:
    """A stage's own network, cut off there, gives the same for the channel."""
    of = net()
    found = explain(name, of, of="head")
    torch.testing.assert_close(found, explain(name, of))
    assert explain(name, of, of="conv1").abs().max() > 0
    with pytest.raises(UserError, match="has no stage 'conv3'; did you mean conv"):
        explain(name, of, of="conv3")


# -- what an explainer promises ----------------------------------------------------------------------------------------


def state(of: nn.Module) -> list[Any]:
    tensors = [*of.named_parameters(), *of.named_buffers()]
    return [
        [(name, id(tensor), tensor.clone(), tensor.requires_grad, tensor.grad) for name, tensor in tensors],
        [(module.training, len(module._forward_hooks), len(module._forward_pre_hooks)) for module in of.modules()],
        torch.get_rng_state(),
        *np.random.get_state()[1:3],
    ]


def same(some: Any, other: Any) -> bool:
    if isinstance(some, Tensor | np.ndarray):
        return bool((torch.as_tensor(some) == torch.as_tensor(other)).all())
    if isinstance(some, list | tuple):
        return len(some) == len(other) and all(map(same, some, other))
    return bool(some == other)


@pytest.mark.parametrize("name", NAMES)
def test_its_map_and_no_trace(name: str) -> None:
    of, images, targets = net(), IMAGES.clone(), TARGETS.clone()
    of.train()
    of.inner[2].eval()
    before = state(of)
    found = explain(name, of, images, targets)
    assert same(before, state(of))
    assert same([images, targets], [IMAGES, TARGETS])
    assert not images.requires_grad
    assert not found.requires_grad
    assert found.shape == (2, 1 if name in ONE_CHANNEL else 3, 12, 15)
    assert found.dtype == torch.float32
    assert found.isfinite().all()
    assert found.abs().amax() > 0
    assert torch.equal(found, explain(name, of))  # its seed is an option


@pytest.mark.parametrize("name", NAMES)
def test_no_trace_of_a_failure(name: str) -> None:
    of = net()
    before = state(of)
    with pytest.raises(UserError, match="there is no target 5: there are 5, counted from 0"):
        explain(name, of, targets=torch.tensor([1, 5]))
    assert same(before, state(of))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("around", [torch.inference_mode, torch.no_grad, lambda: torch.autocast("cpu")])
def test_wherever_it_is_called(name: str, around: Callable[[], Any]) -> None:
    of = net()
    expected = explain(name, of)
    with around():
        assert torch.equal(explain(name, of, IMAGES * 1, TARGETS * 1), expected)


@pytest.mark.parametrize("name", NAMES)
def test_a_map_does_not_depend_on_the_images_beside_it(name: str) -> None:
    of = net()
    alone = torch.cat([explain(name, of, IMAGES[i : i + 1], TARGETS[i : i + 1]) for i in range(2)])
    torch.testing.assert_close(explain(name, of), alone, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("integrated_gradients", {"steps": 0}, "integrated_gradients: steps is 1 or more, not 0"),
        ("noise_tunnel", {"kind": "smooth"}, "noise_tunnel has no kind 'smooth'; did you mean smoothgrad?"),
        ("noise_tunnel", {"noise": -1.0}, "noise_tunnel: noise is 0 or more, not -1.0"),
        ("gradient_shap", {"baselines": 0}, "gradient_shap: baselines is 1 or more, not 0"),
        ("feature_ablation", {"cells": 13}, "cells is at most the image's 12 pixels, not 13"),
        ("lime", {"cells": 4, "samples": 20}, "lime: samples is more than the grid's 20 cells, not 20"),
    ],
)
def test_options_that_cannot_be(name: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as raised:
        explain(name, net(), **options)
    assert str(raised.value) == said
