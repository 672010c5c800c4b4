"""Adebayo's check: the network's own twin without what it learned, and how alike two maps are."""

import copy
from trace import assert_same, state_of

import numpy as np
import pytest
import torch
from nets import two_layers
from scipy.stats import spearmanr
from torch import nn

from convkit.explainers.guided_backprop import guided_backprop
from convkit.explainers.sanity import UNCHANGED, randomised, rank_correlation


def test_weights_are_the_same_values_in_another_order() -> None:
    net = two_layers(nn.ReLU(), nn.ReLU())
    before, twin = state_of(net), randomised(net)
    assert_same(before, state_of(net))
    for ours, theirs in zip(twin.parameters(), net.parameters(), strict=True):
        assert torch.equal(ours.flatten().sort().values, theirs.flatten().sort().values)
        assert not torch.equal(ours, theirs)
    again = randomised(copy.deepcopy(net))
    assert all(torch.equal(a, b) for a, b in zip(twin.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize("levels", [3, 10**6])
def test_spearman_beside_scipy(levels: int) -> None:
    """With ties and without; where both maps are zero is left out, and signs make no difference."""
    random = np.random.default_rng(0)
    first = random.integers(0, levels, (2, 1, 9, 8)).astype(np.float32)
    second = np.maximum(first + random.integers(-levels, levels, first.shape), 0).astype(np.float32)
    found = rank_correlation(torch.from_numpy(-first), torch.from_numpy(second))
    for index in range(2):
        marked = (first[index] > 0) | (second[index] > 0)
        assert found[index].item() == pytest.approx(spearmanr(first[index][marked], second[index][marked]).statistic)


def test_empty_maps() -> None:
    nothing, something = torch.zeros(1, 1, 4, 4), torch.rand(1, 1, 4, 4)
    assert rank_correlation(nothing, nothing).item() == 1
    assert rank_correlation(nothing, something).item() == 0
    assert rank_correlation(something, something).item() == pytest.approx(1)


def test_an_edge_detector_fails_and_a_trained_network_does_not() -> None:
    """On images whose class is where their bright square is."""
    images = torch.rand(64, 3, 12, 12) * 0.2
    corners = torch.arange(64) % 4
    for image, corner in zip(images, corners.tolist(), strict=True):
        row, column = 6 * (corner // 2), 6 * (corner % 2)
        image[:, row : row + 6, column : column + 6] += 0.8
    net = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(1600, 4))
    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    for _ in range(60):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(images), corners)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1
    maps, other = (guided_backprop(each, images, corners) for each in (net, randomised(net)))
    assert rank_correlation(maps, other).median() < UNCHANGED
    edges = images.diff(dim=3)
    assert (rank_correlation(edges, edges + 0.001 * torch.randn_like(edges)) > UNCHANGED).all()
