"""The CIFAR DenseNets: the paper's counts, and a plainer forward."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - the field's own name
from torchvision_twin import on_meta, parameters

from convkit.architectures.densenet_cifar import DenseNetCifar

PLAIN = {"bottleneck": False, "compression": 1}


@pytest.mark.parametrize(
    ("depth", "growth_rate", "options", "millions"),  # Huang et al. 2017, Table 2
    [
        (40, 12, PLAIN, 1.0),
        (100, 12, PLAIN, 7.0),
        (100, 24, PLAIN, 27.2),
        (100, 12, {}, 0.8),
        (250, 24, {}, 15.3),
        (190, 40, {}, 25.6),
    ],
)
def test_parameters_are_the_papers(depth, growth_rate, options, millions) -> None:
    net = on_meta(DenseNetCifar, 10, (3, 32, 32), depth=depth, growth_rate=growth_rate, **options)
    assert round(parameters(net) / 1e6, 1) == millions
    weighted = [module for module in net.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    assert len(weighted) == depth


def _plain_forward(state, x, layers, bottleneck):
    """§3 read off the page: every layer sees the maps of all layers before it in its block."""

    def activated(name, x):
        mean, var = state[f"{name}.running_mean"], state[f"{name}.running_var"]
        scaled = (x - mean[:, None, None]) / (var[:, None, None] + 1e-5).sqrt()
        return (scaled * state[f"{name}.weight"][:, None, None] + state[f"{name}.bias"][:, None, None]).clamp(min=0)

    x = F.conv2d(x, state["features.conv0.weight"], padding=1)
    for block in (1, 2, 3):
        maps = [x]
        for layer in range(1, layers + 1):
            name = f"features.denseblock{block}.denselayer{layer}"
            y = torch.cat(maps, 1)
            if bottleneck:
                y = F.conv2d(activated(f"{name}.norm1", y), state[f"{name}.conv1.weight"])
            last = 2 if bottleneck else 1
            maps.append(F.conv2d(activated(f"{name}.norm{last}", y), state[f"{name}.conv{last}.weight"], padding=1))
        x = torch.cat(maps, 1)
        if block < 3:
            name = f"features.transition{block}"
            y = F.conv2d(activated(f"{name}.norm", x), state[f"{name}.conv.weight"])
            x = y.unfold(2, 2, 2).unfold(3, 2, 2).mean(dim=(-1, -2))
    x = activated("features.norm4", x).mean(dim=(2, 3))
    return x @ state["classifier.weight"].T + state["classifier.bias"]


@pytest.mark.parametrize("bottleneck", [True, False])
@pytest.mark.parametrize("compression", [0.5, 1])
def test_equals_a_plainer_forward(bottleneck, compression) -> None:
    net = DenseNetCifar(10, (3, 32, 32), 22, 6, bottleneck, compression).double()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight, module.bias, module.running_mean, module.running_var):
                nn.init.uniform_(tensor, 0.1, 1)
    images = torch.randn(2, 3, 32, 32).double()
    with torch.no_grad():
        logits = net.eval()(images)
        expected = _plain_forward(net.state_dict(), images, 3 if bottleneck else 6, bottleneck)
    torch.testing.assert_close(logits, expected)


@pytest.mark.parametrize(
    ("options", "maps"),
    [({}, 24), ({"compression": 1}, 16), ({"bottleneck": False}, 16), (PLAIN, 16)],
)
def test_only_bc_begins_with_twice_the_growth_rate(options, maps) -> None:
    assert DenseNetCifar(10, (3, 32, 32), depth=22, **options).features.conv0.out_channels == maps


def test_compression_keeps_its_share_of_the_maps() -> None:
    net = DenseNetCifar(10, (3, 32, 32), depth=22, growth_rate=5, compression=0.5)
    convolution = net.features.transition1.conv
    assert (convolution.in_channels, convolution.out_channels) == (10 + 3 * 5, 12)  # ⌊θm⌋ (§3, "Compression")


def test_dropout_is_after_every_convolution_but_the_first_and_only_while_training() -> None:
    net = DenseNetCifar(10, (3, 32, 32), depth=22, growth_rate=4, dropout=0.2)
    convolutions = sum(isinstance(module, nn.Conv2d) for module in net.modules())
    assert sum(isinstance(module, nn.Dropout) for module in net.modules()) == convolutions - 1
    images = torch.randn(2, 3, 32, 32)
    assert not torch.equal(net(images), net(images))
    assert torch.equal(net.eval()(images), net(images))


@pytest.mark.parametrize("options", [{}, PLAIN, {"dropout": 0.2}])
def test_the_gradient_reaches_every_parameter(options) -> None:
    net = DenseNetCifar(3, (1, 16, 24), depth=22, growth_rate=4, **options)
    F.cross_entropy(net(torch.randn(4, 1, 16, 24)), torch.tensor([0, 1, 2, 0])).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_stages_are_in_forward_order() -> None:
    net, seen = DenseNetCifar(10, (3, 32, 32), depth=22, growth_rate=4), []
    for name in net.stages:
        net.stage(name).register_forward_hook(
            lambda module, inputs, output, name=name: seen.append((name, output.shape[-1]))
        )
    net.eval()(torch.randn(1, 3, 32, 32))
    sides = [32, 32, 16, 16, 8, 8, 10]
    assert seen == list(zip(net.stages, sides, strict=True))
    assert list(net.stages) == [
        "conv1", "dense_block1", "transition1", "dense_block2", "transition2", "dense_block3", "head"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 99}, r"^densenet_cifar: with bottlenecks depth is 6n\+4, not 99; try 100$"),
        ({"depth": 1}, r"^densenet_cifar: with bottlenecks depth is 6n\+4, not 1; try 10$"),
        ({"depth": 41, **PLAIN}, r"^densenet_cifar: with bottleneck: false depth is 3n\+4, not 41; try 40$"),
        ({"growth_rate": 0}, r"^densenet_cifar: growth_rate is 1 or more \(12, 24, 40 in the paper\), not 0$"),
        (
            {"compression": 2},
            r"^densenet_cifar: compression is above 0 and at most 1 \(0.5 or 1 in the paper\), not 2$",
        ),
        ({"dropout": -0.1}, r"^densenet_cifar: dropout is at least 0 and below 1 \(0.2 in the paper\), not -0.1$"),
    ],
)
def test_a_mistake_is_one_line(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        DenseNetCifar(10, (3, 32, 32), **options)


def test_an_image_that_is_too_small_is_told_the_smallest() -> None:
    with pytest.raises(ValueError, match=r"^densenet_cifar: an image of 3×3 is too small: .*; 4×4 is the smallest"):
        DenseNetCifar(10, (3, 3, 3), depth=22)
