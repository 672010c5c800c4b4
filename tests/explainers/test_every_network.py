"""Every explainer over every architecture, and over families of timm's: a finite map of its shape, no trace left, or
one line that says why not."""

import runpy
from pathlib import Path
from trace import assert_same, state_of
from typing import Any

import pytest
import torch
from torch import Tensor

from convkit.architectures.timm import Timm
from convkit.convnet import ConvNet
from convkit.errors import UserError
from convkit.explainers.deconvnet import project
from convkit.plugins import find, load, named

CASES = runpy.run_path(str(Path(__file__).parents[1] / "architectures" / "test_contract.py"))
# The families that are not among the plugins, each with a small member.
FAMILIES = ("convnext_atto", "efficientnet_b0", "mobilenetv3_small_050", "regnetx_002", "ese_vovnet19b_dw")
NETS = [*sorted(named("architecture")), *FAMILIES]
EXPLAINERS = sorted(named("explainer"))
# Whole images, and maps of the last stage.
MAP_ONLY = {"cam", "grad_cam"}
ONE_CHANNEL = {"occlusion", "saliency"}
QUICK: dict[str, dict[str, Any]] = {"class_image": {"steps": 1}, "occlusion": {"batch_size": 8}}
RULES = {"deconvnet", "guided_backprop", "guided_grad_cam"}
NO_RELU = {"convnext_atto", "efficientnet_b0"}
NO_POOLING = {"alexnet", "deepface", "lenet", "vgg", "convnext_atto", "mobilenetv3_small_050"}


def build(name: str) -> tuple[ConvNet, Tensor]:
    torch.manual_seed(0)
    if name in FAMILIES:
        return Timm(7, (3, 32, 32), name), torch.randn(2, 3, 32, 32)
    return CASES["build"](name), CASES["images"](name, 2)


@pytest.mark.parametrize("name", NETS)
def test_explainers(name: str) -> None:
    net, images = build(name)
    net.train()
    before, targets = state_of(net), torch.tensor([0, 6])
    refusals = {}
    for explainer in EXPLAINERS:
        options = dict(QUICK.get(explainer, {}))
        if explainer == "occlusion":
            options |= {"size": images.shape[2] // 2, "stride": images.shape[2] // 2}
        try:
            found = load(find("explainer", explainer))(net, images, targets, **options)
        except UserError as error:
            refusals[explainer] = str(error)
            continue
        assert found.isfinite().all(), explainer
        assert found.device == images.device
        assert found.shape[:2] == (2, 1 if explainer in MAP_ONLY | ONE_CHANNEL else images.shape[1]), explainer
        if explainer not in MAP_ONLY:
            assert found.shape[2:] == images.shape[2:], explainer
        # Grad-CAM leaves out what speaks against the class; a deep network without batch norm, untrained, hardly sees.
        if explainer not in ("grad_cam", "guided_grad_cam", "occlusion"):
            assert found.abs().amax() > 0, explainer
    assert_same(before, state_of(net))
    wrong = (RULES if name in NO_RELU else set()) | ({"cam"} if name in NO_POOLING else set())
    assert refusals.keys() == wrong
    assert not [reason for reason in refusals.values() if "\n" in reason]


@pytest.mark.parametrize("name", [name for name in NETS if name not in NO_RELU])
def test_units_of_every_stage(name: str) -> None:
    """A rule may meet no ReLU up to a stage; if it does, the strongest unit of the batch shows its image."""
    net, images = build(name)
    for stage in net.stages:
        channels, places = strongest(net, images, stage)
        try:
            found = project(net, images, stage, channels, places)
        except UserError as error:
            assert "acts on ReLUs" in str(error)  # noqa: PT017 - some stages of timm's end before the first
            continue
        assert found.shape == images.shape
        assert found.isfinite().all()
        assert (found.flatten(1).abs().amax(1) > 0).any(), stage


def strongest(net: ConvNet, images: Tensor, stage: str) -> tuple[Tensor, Tensor]:
    kept: list[Tensor] = []
    hook = net.stage(stage).register_forward_hook(lambda module, inputs, output: kept.append(output))
    with torch.no_grad():
        net.eval()(images)
    hook.remove()
    maps = kept[0] if kept[0].ndim == 4 else kept[0][:, :, None, None]
    places = maps.flatten(1).argmax(1)
    width, area = maps.shape[3], maps[0, 0].numel()
    return places // area, torch.stack([places % area // width, places % width], 1)
