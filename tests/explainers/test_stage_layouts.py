"""Stages whose modules put out N×H×W×C: explained, tracked and searched as their N×C×H×W twins are."""

from functools import partial

import numpy as np
import pytest
import torch
from nets import Call
from torch import Tensor, nn

from convkit.architectures.timm import Timm
from convkit.classifier import Classifier
from convkit.convnet import ConvNet, Wrapped
from convkit.errors import UserError
from convkit.explainers.base import last_maps, output_at
from convkit.explainers.deconvnet import project
from convkit.explainers.grad_cam import grad_cam
from convkit.inspection.units import units
from convkit.plugins import find, load, named
from convkit.taps import taps

IMAGES = torch.randn(3, 3, 14, 18, generator=torch.Generator().manual_seed(0))
TARGETS = torch.tensor([0, 4, 2])
OPTIONS = {"class_image": {"steps": 2}, "occlusion": {"size": 7, "stride": 7}}


def twins() -> tuple[Wrapped, Wrapped]:
    """The same network twice: in the second, what lies between the convolutions is N×H×W×C."""
    nets = []
    for last in (False, True):
        torch.manual_seed(2)
        there = Call(lambda x: x.permute(0, 2, 3, 1)) if last else nn.Identity()
        back = Call(lambda x: x.permute(0, 3, 1, 2)) if last else nn.Identity()
        mean = Call(lambda x: x.mean((1, 2))) if last else Call(lambda x: x.mean((2, 3)))
        layers = nn.Sequential(
            nn.Conv2d(3, 8, 3), there, nn.ReLU(), back, nn.MaxPool2d(2), nn.Conv2d(8, 6, 3), there, nn.ReLU(), mean
        )
        net = Wrapped(layers.append(nn.Linear(6, 5)), {"conv1": "2", "conv2": "7", "head": "9"})
        net.stage_layouts = {"conv1": "NHWC", "conv2": "NHWC"} if last else {}
        nets.append(net)
    return nets[0], nets[1]


@pytest.mark.parametrize("name", sorted(named("explainer")))
def test_as_their_twins(name: str) -> None:
    first, last = twins()
    explain = partial(load(find("explainer", name)), images=IMAGES, targets=TARGETS, **OPTIONS.get(name, {}))
    if name == "class_image":
        explain = partial(load(find("explainer", name)), average=IMAGES, targets=TARGETS, **OPTIONS[name])
    every = [{}]
    options = load(find("explainer", name)).__kwdefaults__ or {}
    every += [{option: stage} for option in ("of", "stage") if option in options for stage in ("conv1", "conv2")]
    for given in every:
        torch.testing.assert_close(explain(last, **given), explain(first, **given))
    assert last_maps(last, IMAGES) == "conv2"


def test_units_and_places() -> None:
    first, last = twins()
    for stage in ("conv1", "conv2"):
        assert units(last, (3, 14, 18), [stage]) == units(first, (3, 14, 18), [stage])
        places = torch.tensor([[1, 3], [0, 2], [2, 1]])
        projected = [project(net, IMAGES, stage, TARGETS, places) for net in (first, last)]
        torch.testing.assert_close(*projected)
        seen: list[Tensor] = []
        with torch.no_grad(), taps(last, [stage], lambda name, output, seen=seen: seen.append(output)):
            last(IMAGES)
        torch.testing.assert_close(seen[0], output_at(first, IMAGES, stage))


SWIN = {"embed_dim": 24, "depths": (2, 2), "num_heads": (2, 2), "window_size": 4}
SMALL_MAMBA = {"dims": (12, 16), "depths": (1, 1)}


@pytest.mark.parametrize(
    ("name", "options", "shapes"),
    [
        ("swin_tiny_patch4_window7_224", SWIN, {"stage0": (24, 12, 16), "stage1": (48, 6, 8)}),
        ("mambaout_femto", SMALL_MAMBA, {"stage0": (12, 12, 16), "stage1": (16, 6, 8)}),
    ],
)
def test_timm_of_this_kind(name: str, options: dict[str, object], shapes: dict[str, tuple[int, ...]]) -> None:
    """mambaout's last side is as long as it has maps, at either end: timm's own word decides."""
    torch.manual_seed(0)
    net = Timm(5, (3, 48, 64), name, options=options).eval()
    assert net.stage_layouts == dict.fromkeys(shapes, "NHWC")
    images = torch.randn(2, 3, 48, 64)
    found = units(net, (3, 48, 64), list(shapes))
    for stage, shape in shapes.items():
        assert (found[stage].maps, found[stage].rows.count, found[stage].columns.count) == shape
        assert output_at(net, images, stage).shape[1:] == shape
    # Grad-CAM by hand, from timm's own features of the last stage.
    inner = net.inner
    maps = inner.forward_features(images).detach()
    if name.startswith("swin"):  # a norm lies between: by autograd at the stage's module
        kept: list[Tensor] = []
        hook = net.stage("stage1").register_forward_hook(lambda module, inputs, output: kept.append(output))
        logits = net(images)
        hook.remove()
        maps = kept[0]
    else:
        maps.requires_grad_()
        logits = inner.forward_head(maps)
    (gradient,) = torch.autograd.grad(logits[torch.arange(2), TARGETS[:2]].sum(), maps)
    expected = (gradient.mean((1, 2), keepdim=True) * maps.detach()).sum(3).relu()
    torch.testing.assert_close(grad_cam(net, images, TARGETS[:2])[:, 0], expected)


def test_cam_averages_to_the_logit() -> None:
    """Equation 2 of Zhou et al., for a head on N×H×W×C."""
    net = Timm(5, (3, 48, 64), "swin_tiny_patch4_window7_224", options=SWIN).eval()
    images = torch.randn(2, 3, 48, 64)
    maps = load(find("explainer", "cam"))(net, images, TARGETS[:2])
    assert maps.shape == (2, 1, 6, 8)
    with torch.no_grad():
        logits = net(images)[torch.arange(2), TARGETS[:2]]
    torch.testing.assert_close(maps.mean((1, 2, 3)) + net.stage("head").bias[TARGETS[:2]], logits)


def test_top_patches_of_swin(tmp_path) -> None:
    """The strongest places of each map, by hand; no ReLU, so the patches alone, and each unit sees the whole image."""
    from convkit.analyses.patches import pictures, search
    from convkit.datasets.arrays import Arrays

    random = np.random.default_rng(0)
    images, labels = random.integers(0, 256, (20, 32, 32, 3), dtype=np.uint8), np.arange(20) % 2
    np.savez(tmp_path / "a.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    data = Arrays(str(tmp_path / "a.npz"), batch_size=8)
    data.setup()

    def build(classes: int, shape: tuple[int, int, int]) -> ConvNet:
        return Timm(classes, shape, "swin_tiny_patch4_window7_224", options=SWIN)

    model = Classifier(build, None, None, 2, data.image_shape).eval()
    found = search(model, data, ["stage1"], 3, "test")["stage1"]
    every = torch.cat([batch for batch, _ in data.test_dataloader()])
    with torch.no_grad():
        maps = output_at(model.net, every, "stage1")
    assert maps.shape == (20, 48, 4, 4)
    best = maps.flatten(2).amax(2).T.sort(1, descending=True)
    torch.testing.assert_close(found.strongest.values, best.values[:, :3])
    assert torch.equal(found.strongest.images, best.indices[:, :3])
    (one,) = pictures(model, data, found, [7], "test", projected=False)
    assert one.projections is None
    whole = torch.from_numpy(images[found.strongest.images[7]]).permute(0, 3, 1, 2) / 255
    torch.testing.assert_close(one.patches, whole, atol=1e-5, rtol=0)
    with pytest.raises(UserError, match="acts on ReLUs"):
        next(pictures(model, data, found, [7], "test"))
