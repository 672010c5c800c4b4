"""The projection of single units: against explicit switches, a brute-force way back, and itself."""

import pytest
import torch
from nets import two_layers
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the field's own name

from convkit.architectures.alexnet import AlexNet
from convkit.convnet import Wrapped
from convkit.errors import UserError
from convkit.explainers.deconvnet import project
from convkit.explainers.deconvolution import deconvnet

CHANNELS, PLACES = torch.tensor([2, 0, 5]), torch.tensor([[0, 1], [3, 2], [1, 1]])


def one_pool() -> Wrapped:
    torch.manual_seed(1)
    layers = nn.Sequential(nn.Conv2d(3, 8, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 6, 3), nn.ReLU())
    nn.init.constant_(layers[3].bias, 1.0)  # most units speak
    layers.extend([nn.Flatten(), nn.Linear(6 * 16, 4), nn.ReLU()])
    return Wrapped(layers, {"conv1": "1", "conv2": "4", "fc3": "7"})


def explicit(net: Wrapped, images: Tensor) -> Tensor:
    """Zeiler and Fergus's own layers, with unpooling by recorded switches."""
    first, _, _, second, *_ = net.inner
    with torch.no_grad():
        pooled, switches = F.max_pool2d(first(images).relu(), 2, return_indices=True)
        maps = second(pooled).relu()
        signal = torch.zeros_like(maps)
        for n, (channel, (row, column)) in enumerate(zip(CHANNELS, PLACES, strict=True)):
            signal[n, channel, row, column] = maps[n, channel, row, column]
        unpooled = F.max_unpool2d(F.conv_transpose2d(signal.relu(), second.weight), switches, 2)
        return F.conv_transpose2d(unpooled.relu(), first.weight, padding=2)


def test_explicit_switches() -> None:
    net, images = one_pool(), torch.randn(3, 3, 12, 12)
    expected = explicit(net, images)
    assert (expected.abs().amax((1, 2, 3)) > 0).sum() >= 2
    torch.testing.assert_close(project(net, images, "conv2", CHANNELS, PLACES), expected)


def test_a_silent_unit_shows_nothing_and_a_flat_stage_has_no_places() -> None:
    net, images = one_pool(), torch.randn(40, 3, 12, 12)
    channels, origin = torch.arange(40) % 4, torch.zeros(40, 2, dtype=torch.int64)
    found = project(net, images, "fc3", channels, origin)
    active = net(images)[torch.arange(40), channels] > 0
    assert 0 < active.sum() < 40
    assert torch.equal(found.flatten(1).abs().amax(1) > 0, active)


def test_the_explainer_takes_the_strongest_place() -> None:
    net, images = one_pool(), torch.randn(3, 3, 12, 12)
    strongest = net.inner[:5](images)[torch.arange(3), CHANNELS].flatten(1).argmax(1)
    places = torch.stack([strongest // 4, strongest % 4], 1)
    expected = project(net, images, "conv2", CHANNELS, places)
    torch.testing.assert_close(deconvnet(net, images, CHANNELS, of="conv2"), expected, rtol=0, atol=0)


def test_images_are_independent_of_their_batch() -> None:
    net, images = AlexNet(5, (3, 64, 64)).eval(), torch.randn(3, 3, 64, 64)
    places = torch.zeros(3, 2, dtype=torch.int64)
    together = project(net, images, "conv3", CHANNELS, places)
    for n in range(3):
        alone = project(net, images[n : n + 1], "conv3", CHANNELS[n : n + 1], places[n : n + 1])
        torch.testing.assert_close(together[n : n + 1], alone)


def test_what_lies_behind_the_stage_is_not_computed() -> None:
    net = one_pool()
    net.inner[6] = nn.Linear(1, 4)  # takes no such input
    assert project(net, torch.randn(3, 3, 12, 12), "conv2", CHANNELS, PLACES).shape == (3, 3, 12, 12)


@pytest.mark.parametrize(
    ("stage", "channel", "place", "said"),
    [
        ("conv9", 0, [0, 0], "Wrapped has no stage 'conv9'; did you mean conv2?"),
        ("conv2", 6, [0, 0], "there is no target 6: there are 6, counted from 0"),
        ("conv2", -1, [0, 0], "there is no target -1: there are 6, counted from 0"),
        ("conv2", 0, [0, 4], "a place is outside of the maps, which are 4×4"),
    ],
)
def test_bad_units(stage: str, channel: int, place: list[int], said: str) -> None:
    with pytest.raises(UserError) as caught:
        project(one_pool(), torch.randn(1, 3, 12, 12), stage, torch.tensor([channel]), torch.tensor([place]))
    assert str(caught.value) == said


def test_a_network_without_stages() -> None:
    with pytest.raises(UserError, match=r"^Sequential has no named stages; convkit.convnet.Wrapped gives it some$"):
        project(two_layers(nn.ReLU(), nn.ReLU()).inner, torch.randn(1, 3, 12, 12), "conv1", CHANNELS[:1], PLACES[:1])
