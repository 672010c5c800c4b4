"""The CIFAR ResNets: the papers' counts, and the published weights on the test images of CIFAR-10."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the field's own name
from torchvision_twin import on_meta

from convkit.architectures.residual_unit import ORDERS
from convkit.architectures.resnet_cifar import ResNetCifar
from convkit.convnet import ConvNet
from convkit.start import start_from

Shared = Callable[[str], Path]
WEIGHTS, IMAGES = "weights/resnet20-12fca82f.th", "data/cifar10.npz"
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # those that the published net was trained with


def _on_meta(depth: int, **options: object) -> ConvNet:
    return on_meta(ResNetCifar, 10, (3, 32, 32), depth=depth, **options)


def _count(net: nn.Module, *without: type[nn.Module]) -> int:
    kept = [module for module in net.modules() if not isinstance(module, without)]
    return sum(parameter.numel() for module in kept for parameter in module.parameters(recurse=False))


@pytest.mark.parametrize(
    ("depth", "millions"),  # He et al. 2016a, Table 6
    [(20, "0.27"), (32, "0.46"), (44, "0.66"), (56, "0.85"), (110, "1.7"), (1202, "19.4")],
)
def test_parameters_are_the_papers(depth: int, millions: str) -> None:
    net = _on_meta(depth)
    decimals = len(millions.partition(".")[2])
    assert f"{_count(net) / 1e6:.{decimals}f}" == millions
    assert sum(isinstance(module, nn.Conv2d | nn.Linear) for module in net.modules()) == depth


@pytest.mark.parametrize(("depth", "millions"), [(164, "1.7"), (1001, "10.2")])
def test_parameters_of_bottleneck_nets_are_the_papers(depth: int, millions: str) -> None:
    # He et al. 2016b, Table 4; 10.2M leaves batch norm out, with it there are 10.3M
    net = _on_meta(depth, bottleneck=True, shortcut="projection", unit="full_preactivation")
    assert f"{_count(net, nn.BatchNorm2d) / 1e6:.1f}" == millions
    projections = 3
    assert sum(isinstance(module, nn.Conv2d | nn.Linear) for module in net.modules()) == depth + projections


def test_a_bottleneck_has_its_stride_in_the_first_convolution() -> None:
    unit = _on_meta(29, bottleneck=True).layer2[0]
    shapes = [
        (c.in_channels, c.out_channels, c.kernel_size[0], c.stride[0]) for c in (unit.conv1, unit.conv2, unit.conv3)
    ]
    assert shapes == [(64, 32, 1, 2), (32, 32, 3, 1), (32, 128, 1, 1)]


def test_the_plain_twin_has_the_parameters_of_option_a() -> None:
    counts = {
        name: _count(_on_meta(20, **options))
        for name, options in {
            "plain": {"residual": False},
            "A": {"shortcut": "identity"},
            "B": {"shortcut": "projection"},
            "C": {"shortcut": "projection_everywhere"},
        }.items()
    }
    assert counts["plain"] == counts["A"] < counts["B"] < counts["C"]


def _plain_forward(state: dict[str, Tensor], x: Tensor) -> Tensor:
    """§4.2 read off the page, 20 layers with option A, on the published keys."""

    def batch_norm(name: str, x: Tensor) -> Tensor:
        mean, var, weight, bias = (
            state[f"{name}.{key}"][:, None, None] for key in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / (var + 1e-5).sqrt() * weight + bias

    x = F.relu(batch_norm("bn1", F.conv2d(x, state["conv1.weight"], padding=1)))
    for layer in (1, 2, 3):
        for unit in (0, 1, 2):
            name, stride = f"layer{layer}.{unit}", 2 if layer > 1 and unit == 0 else 1
            y = F.conv2d(x, state[f"{name}.conv1.weight"], stride=stride, padding=1)
            y = F.conv2d(F.relu(batch_norm(f"{name}.bn1", y)), state[f"{name}.conv2.weight"], padding=1)
            if stride == 2:
                zeros = torch.zeros(len(x), x.shape[1] // 2, *y.shape[2:])
                x = torch.cat([zeros, x[:, :, ::2, ::2], zeros], dim=1)
            x = F.relu(x + batch_norm(f"{name}.bn2", y))
    return x.mean(dim=(2, 3)) @ state["linear.weight"].T + state["linear.bias"]


def _batches(path: Path, count: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The first test images, normalised, and their classes."""
    with np.load(path) as arrays:
        images, classes = arrays["x_test"][:count], torch.from_numpy(arrays["y_test"][:count]).long()
    mean, deviation = (torch.tensor(values)[:, None, None] for values in (MEAN, DEVIATION))
    for start in range(0, count, 500):
        batch = torch.from_numpy(images[start : start + 500]).permute(0, 3, 1, 2) / 255
        yield (batch - mean) / deviation, classes[start : start + 500]


def _published(shared: Shared) -> ResNetCifar:
    net = ResNetCifar(10, (3, 32, 32), depth=20)
    start_from(net, shared(WEIGHTS))
    return net.eval()


@torch.no_grad()
def _wrong(net: ResNetCifar, batches: Iterator[tuple[Tensor, Tensor]]) -> int:
    return sum(int((net(images).argmax(dim=1) != classes).sum()) for images, classes in batches)


def test_published_weights_give_the_logits_of_a_plainer_forward(shared: Shared) -> None:
    contents = torch.load(shared(WEIGHTS), map_location="cpu", weights_only=True)["state_dict"]
    state = {key.removeprefix("module."): value for key, value in contents.items()}
    images, _ = next(_batches(shared(IMAGES), 64))
    with torch.no_grad():
        torch.testing.assert_close(_published(shared)(images), _plain_forward(state, images), atol=1e-4, rtol=1e-4)


def test_published_weights_on_the_first_2000_images(shared: Shared) -> None:
    # 166 are wrong with the plainer forward, too
    assert _wrong(_published(shared), _batches(shared(IMAGES), 2000)) == 166


@pytest.mark.slow
def test_published_weights_give_the_published_accuracy(shared: Shared) -> None:
    assert _wrong(_published(shared), _batches(shared(IMAGES), 10_000)) == 827  # 91.73% (Y. Idelbayev)


def test_published_projections_have_another_name(tmp_path: Path) -> None:
    net = ResNetCifar(10, (3, 32, 32), depth=8, shortcut="projection")
    state = {
        f"module.{key}".replace("fc.", "linear.").replace("downsample.", "shortcut."): value + 1
        for key, value in net.state_dict().items()
    }
    assert "module.layer2.0.shortcut.0.weight" in state
    torch.save({"state_dict": state, "best_prec1": 10.0}, tmp_path / "published.th")
    before = {key: value.clone() for key, value in net.state_dict().items()}
    start_from(net, tmp_path / "published.th")
    for key, value in net.state_dict().items():
        assert torch.equal(value, before[key] + 1), key


@pytest.mark.parametrize("unit", ORDERS)
@pytest.mark.parametrize("bottleneck", [False, True])
@pytest.mark.parametrize("shortcut", ["identity", "projection", "projection_everywhere", None])
def test_the_gradient_reaches_every_parameter(unit: str, bottleneck: bool, shortcut: str | None) -> None:
    options = {"shortcut": shortcut} if shortcut else {"residual": False}
    net = ResNetCifar(3, (1, 16, 24), 20, bottleneck, unit=unit, **options)
    F.cross_entropy(net(torch.randn(4, 1, 16, 24)), torch.tensor([0, 1, 2, 0])).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_stages_are_in_forward_order() -> None:
    net, seen = ResNetCifar(10, (3, 32, 32)), []
    for name in net.stages:
        net.stage(name).register_forward_hook(
            lambda module, inputs, output, name=name: seen.append((name, tuple(output.shape[1:])))
        )
    net.eval()(torch.randn(1, 3, 32, 32))
    assert seen == [
        ("conv1", (16, 32, 32)),
        ("conv2", (16, 32, 32)),
        ("conv3", (32, 16, 16)),
        ("conv4", (64, 8, 8)),
        ("head", (10,)),
    ]
    assert list(net.stages) == [name for name, _ in seen]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 21}, r"with basic units depth is 6n\+2 \(20, 32, 44, 56, 110, 1202 in the paper\), not 21; try 20$"),
        ({"depth": 1001}, r"not 1001; try 998, or bottleneck: true for 9n\+2$"),
        ({"depth": 2}, r"not 2; try 8$"),
        ({"depth": 163, "bottleneck": True}, r"with bottlenecks depth is 9n\+2 \(164, 1001 .* not 163; try 164$"),
        ({"depth": 44, "bottleneck": True}, r"not 44; try 47, or bottleneck: false for 6n\+2$"),
        ({"shortcut": "identities"}, r"there is no shortcut 'identities'; did you mean identity\?$"),
        ({"unit": "preactivation"}, r"there is no unit 'preactivation'; did you mean full_preactivation\?$"),
    ],
)
def test_a_mistake_is_one_line(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=rf"^resnet_cifar: .*{message}"):
        ResNetCifar(10, (3, 32, 32), **options)
