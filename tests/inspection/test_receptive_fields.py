"""Receptive fields against the support of a gradient, by calculation."""

import math
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.overrides import TorchFunctionMode

from convkit import plugins
from convkit.inspection.axes import Axis
from convkit.inspection.trace import trace

LINEAR = ("relu", "relu_", "hardtanh", "hardtanh_", "silu", "silu_", "gelu", "layer_norm", "local_response_norm")


class Linearised(TorchFunctionMode):
    """What could stop or turn a gradient replaced: rectifiers and layer norm by identity, the maximum by the mean."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, name = kwargs or {}, getattr(func, "__name__", "")
        if name in LINEAR:
            return args[0]
        if name == "max_pool2d":
            names = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
            given = {**dict(zip(names, args[1:], strict=False)), **kwargs}
            assert given.get("dilation", 1) == 1
            kept = {key: given[key] for key in ("kernel_size", "stride", "padding", "ceil_mode") if key in given}
            return F.avg_pool2d(args[0], **kept)
        return func(*args, **kwargs)


def all_positive(net: nn.Module) -> nn.Module:
    """Built on the meta device, now with weights that are means over what they see: nothing cancels or overflows."""
    net = net.to_empty(device="cpu").double().eval().requires_grad_(False)
    for name, value in net.state_dict().items():
        if value.dim() > 1:
            value.fill_(1 / value[0].numel())
        elif value.is_floating_point():
            value.fill_(0.0 if name.endswith(("bias", "mean")) else 1.0)
    return net


def support(net: nn.Module, layer: str, side: str, size: int, thin: int) -> tuple[int, int, int]:
    """First and one past the last pixel that the central unit of ``layer`` depends on along ``side``, and its index."""
    shape = (size, thin) if side == "y" else (thin, size)
    image = torch.full((1, 3, *shape), 1e-6, dtype=torch.float64, requires_grad=True)
    seen: list[Tensor] = []
    hook = net.get_submodule(layer).register_forward_hook(lambda module, inputs, output: seen.append(output))
    with Linearised():
        net(image)
    hook.remove()
    output = seen[-1]
    rows, columns = output.shape[2] // 2, output.shape[3] // 2
    (gradient,) = torch.autograd.grad(output[0, :, rows, columns].sum(), image)
    # every filter, every channel: the maximum over branches
    line = gradient[0].sum(0).sum(1 if side == "y" else 0).nonzero().flatten()
    assert not (gradient < 0).any()
    return int(line[0]), int(line[-1]) + 1, rows if side == "y" else columns


def field(net: nn.Module, layer: str, shape: tuple[int, int, int]) -> tuple[Axis, Axis]:
    seen = next(visit.sees for visit in reversed(trace(net, shape)) if visit.name == layer and visit.sees)
    assert seen.rows is not None
    assert seen.columns is not None
    return seen.rows, seen.columns


def from_torchvision(name: str) -> Callable[[tuple[int, int, int]], nn.Module]:
    def build(image_shape: tuple[int, int, int]) -> nn.Module:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # about its own default initialisation
            return torchvision.models.get_model(name)

    return build


def from_timm(name: str) -> Callable[[tuple[int, int, int]], nn.Module]:
    return lambda image_shape: timm.create_model(name)


def from_plugin(name: str, **options: Any) -> Callable[[tuple[int, int, int]], nn.Module]:
    return lambda image_shape: plugins.load(plugins.find("architecture", name))(10, image_shape, **options)


# network, layers to look at, the short side of the strip of an image
NETWORKS = {
    "lenet": (from_plugin("lenet"), ["conv1", "pool2", "conv3", "pool4"], 32),
    "resnet_cifar-20": (from_plugin("resnet_cifar"), ["relu", "layer1", "layer2", "layer3"], 16),
    "torchvision-alexnet": (from_torchvision("alexnet"), ["features.2", "features.12"], 63),
    "torchvision-vgg16": (from_torchvision("vgg16"), ["features.9", "features.30"], 32),
    "torchvision-googlenet": (from_torchvision("googlenet"), ["maxpool2", "inception4e", "inception5b"], 32),
    "torchvision-resnet18": (from_torchvision("resnet18"), ["layer2", "layer4"], 32),
    "torchvision-resnet50": (from_torchvision("resnet50"), ["layer4"], 32),
    "torchvision-densenet121": (from_torchvision("densenet121"), ["features.transition1", "features.norm5"], 32),
    "torchvision-inception_v3": (from_torchvision("inception_v3"), ["Mixed_5b", "Mixed_6e", "Mixed_7c"], 75),
    "torchvision-shufflenet_v2_x0_5": (from_torchvision("shufflenet_v2_x0_5"), ["conv5"], 32),
    "timm-mobilenetv2_100": (from_timm("mobilenetv2_100"), ["blocks.3", "bn2"], 32),
    "timm-convnext_tiny": (from_timm("convnext_tiny"), ["stages.0", "stages.3"], 32),
    "timm-resnext50_32x4d": (from_timm("resnext50_32x4d"), ["layer3", "layer4"], 32),
    "alexnet": (from_plugin("alexnet", form="original"), ["features.12"], 80),
    "deepface": (from_plugin("deepface", dense_width=8), ["relu3", "relu4", "relu6"], 80),
    "densenet_cifar": (from_plugin("densenet_cifar", depth=40), ["features"], 8),
    "googlenet": (from_plugin("googlenet", true_5x5=True), ["inception5b"], 32),
    "inception_v3": (from_plugin("inception_v3"), ["Mixed_7c"], 75),
    "resnet": (from_plugin("resnet", depth=50, stride_at="1x1"), ["layer4"], 32),
    "vgg": (from_plugin("vgg", variant="C", dense_width=8), ["features.16", "features.30"], 32),
}
# What takes longest; each has a sibling above that is quick.
DEAR = ("torchvision-densenet121", "torchvision-inception_v3", "timm-convnext_tiny", "timm-resnext50_32x4d")
UNEQUAL = ("lenet", "torchvision-alexnet", "torchvision-inception_v3", "timm-convnext_tiny")  # along the columns, too


@pytest.mark.parametrize(
    ("name", "side"),
    [
        pytest.param(name, side, marks=pytest.mark.slow if name in DEAR else ())
        for name, side in [*((name, "y") for name in NETWORKS), *((name, "x") for name in UNEQUAL)]
    ],
)
def test_equal_the_support_of_a_gradient(name: str, side: str) -> None:
    build, layers, thin = NETWORKS[name]
    index = "yx".index(side)
    with torch.device("meta"):
        net = build((3, 224, 224)).eval()
    largest = field(net, layers[-1], (3, 224, 224))[index]
    assert largest.stride is not None
    # wide enough for the central unit's field to lie within the image, whatever the padding
    size = math.ceil(largest.size + 4 * largest.stride) // 2 * 2
    shape = (3, size, thin) if side == "y" else (3, thin, size)
    with torch.device("meta"):
        net = build(shape).eval()
    axes = {layer: field(net, layer, shape)[index] for layer in layers}
    net = all_positive(net)
    for layer, axis in axes.items():
        first, end, unit = support(net, layer, side, size, thin)
        assert axis.stride is not None
        start = axis.low + unit * axis.stride
        assert (first, end) == (start, start + axis.size), layer
        assert 0 < first < end < size


def test_squeeze_and_excitation_sees_the_whole_image() -> None:
    with torch.device("meta"):
        net = timm.create_model("efficientnet_b0").eval()
    before, after = (field(net, layer, (3, 64, 96)) for layer in ("blocks.0.0.bn1", "blocks.0.0"))
    assert [(axis.size, axis.whole) for axis in before] == [(7, False)] * 2
    assert all(axis.whole for axis in after)
    net = all_positive(net)
    assert support(net, "blocks.0.0.bn1", "y", 64, 96)[:2] == (16 * 2 - 3, 16 * 2 + 4)
    assert support(net, "blocks.0.0", "y", 64, 96)[:2] == (0, 64)
    assert support(net, "blocks.6.0", "x", 96, 64)[:2] == (0, 96)


@pytest.mark.parametrize(
    ("name", "layer", "size", "stride"),
    [
        ("alexnet", "features.12", 195, 32),
        ("vgg16", "features.30", 212, 32),
        ("resnet18", "layer4", 435, 32),
        ("resnet50", "layer4", 427, 32),
    ],
)
def test_known_figures(name: str, layer: str, size: int, stride: int) -> None:
    with torch.device("meta"):
        net = torchvision.models.get_model(name).eval()
    assert [(axis.size, axis.stride) for axis in field(net, layer, (3, 224, 224))] == [(size, stride)] * 2
