"""Taps see what the layers put out, and come off whatever happens."""

import pytest
import torch
from torch import Tensor

from convkit.architectures.lenet import LeNet
from convkit.convnet import ConvNet
from convkit.errors import UserError
from convkit.taps import chosen_stages, taps


@pytest.fixture
def net() -> ConvNet:
    return LeNet(10, (1, 28, 28)).eval()


def hooks(net: ConvNet) -> int:
    return sum(len(module._forward_hooks) for module in net.modules())


def test_what_is_seen_is_what_the_layers_compute(net: LeNet) -> None:
    images, seen = torch.randn(3, 1, 28, 28), dict[str, Tensor]()
    with taps(net, ["conv1", "fc6", "head"], seen.__setitem__):
        logits = net(images)
    assert list(seen) == ["conv1", "fc6", "head"]
    assert torch.equal(seen["conv1"], net.conv1(images).relu())
    assert torch.equal(net.fc7(seen["fc6"]), logits)
    assert seen["head"] is logits
    assert hooks(net) == 0


def test_they_come_off_after_an_error_too(net: LeNet) -> None:
    def fail(stage: str, output: Tensor) -> None:
        raise RuntimeError(stage)

    with pytest.raises(RuntimeError, match="conv1"), taps(net, ["conv1", "conv3"], fail):
        net(torch.randn(1, 1, 28, 28))
    assert hooks(net) == 0
    with pytest.raises(ValueError, match="no stage 'conv9'"), taps(net, ["conv1", "conv9"], fail):
        pass
    assert hooks(net) == 0


def test_stages_by_name_and_pattern(net: LeNet) -> None:
    assert chosen_stages(net, None, "x") == ["conv1", "conv3", "fc5", "fc6"]
    assert chosen_stages(net, ["fc*", "conv1"], "x") == ["conv1", "fc5", "fc6"]
    with pytest.raises(UserError, match=r"^--stage: LeNet has no stage 'conv2'; did you mean conv"):
        chosen_stages(net, ["conv2"], "--stage")
    for empty in ([], [""]):
        with pytest.raises(UserError, match=r"^--stage is empty; LeNet has conv1, conv3"):
            chosen_stages(net, empty, "--stage")
