"""What every test may ask for."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

SHARED = Path(__file__).parents[2] / "shared"


@pytest.fixture
def shared() -> Callable[[str], Path]:
    """The path of a file of real images, weights or published figures; the test is skipped where there is none."""

    def find(name: str) -> Path:
        path = SHARED / name
        if not path.exists():
            pytest.skip(f"needs {name} from the folder `shared` beside the checkout")
        return path

    return find


@pytest.fixture(autouse=True)
def _own_random_state() -> None:
    """No test depends on the one before it."""
    torch.manual_seed(0)
