"""The contract of an architecture, on a network with one auxiliary head."""

import pytest
import torch
from torch import Tensor, nn

from convkit.convnet import ConvNet, Outputs, as_outputs


class Small(ConvNet):
    stages = {"conv1": "body.1", "head": "head"}
    aux_heads = {"early": "early_head"}

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten())
        self.early_head: nn.Module | None = nn.Linear(8, 3)
        self.head = nn.Linear(8, 3)

    def forward(self, images: Tensor) -> Tensor | Outputs:
        features = self.body(images)
        logits = self.head(features)
        if self.training and self.early_head is not None:
            return Outputs(logits, {"early": self.early_head(features)})
        return logits


def test_stage_is_the_module_of_that_name() -> None:
    net = Small()
    assert net.stage("conv1") is net.body[1]
    with pytest.raises(ValueError, match="Small has no stage 'conv9'; it has conv1, head"):
        net.stage("conv9")


def test_dropping_the_auxiliary_heads_leaves_the_logits_and_no_weights_of_theirs() -> None:
    net, images = Small(), torch.randn(2, 1, 4, 4)
    before = as_outputs(net(images))
    assert set(before.aux) == {"early"}
    net.drop_aux()
    after = as_outputs(net(images))
    assert after.aux == {}
    assert torch.equal(before.logits, after.logits)
    assert set(net.state_dict()) == {"body.0.weight", "body.0.bias", "head.weight", "head.bias"}
    net.drop_aux()  # once is enough, twice does no harm
    assert Small().aux_heads == {"early": "early_head"}  # a network's own affair


def test_evaluation_gives_logits() -> None:
    assert isinstance(Small().eval()(torch.randn(2, 1, 4, 4)), Tensor)
