"""What convkit asks of every architecture and schedule, by convkit's own suite."""

import pytest
from convkit_airbench.network import Airbench as Network
from convkit_airbench.schedule import Airbench as Schedule

testing = pytest.importorskip("convkit.testing")
RANKS = [1, pytest.param(2, marks=pytest.mark.slow)]


@pytest.mark.parametrize("ranks", RANKS)
def test_architecture(ranks: int) -> None:
    testing.check_architecture(Network, ranks=ranks, widths=[8, 8, 8])


@pytest.mark.parametrize("ranks", RANKS)
def test_schedule(ranks: int) -> None:
    testing.check_schedule(Schedule, ranks=ranks, lr=0.1)
