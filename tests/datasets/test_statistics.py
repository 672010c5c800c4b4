"""Mean, deviation and average image, against numpy in double precision."""

import numpy as np
import pytest
import torch

from convkit.datasets.statistics import measure


@pytest.mark.parametrize("shape", [(600, 3, 4, 5), (1, 1, 8, 8), (259, 1, 2, 2), (3, 3, 1500, 1500)])
@pytest.mark.parametrize("values", ["random", "white"])
def test_against_numpy(shape: tuple[int, ...], values: str) -> None:
    random = np.random.RandomState(0)
    pixels = random.randint(0, 256, shape, dtype=np.uint8) if values == "random" else np.full(shape, 255, np.uint8)
    expected = pixels.astype(np.float64) / 255
    found = measure(torch.from_numpy(pixels))
    assert found.mean == pytest.approx(expected.mean((0, 2, 3)), abs=1e-12)
    assert found.std == pytest.approx(expected.std((0, 2, 3)), abs=1e-6)  # 1e-6 in place of 0, which divides
    np.testing.assert_allclose(found.average_image, expected.mean(0), rtol=0, atol=1e-7)
    assert found.average_image.dtype == torch.float32
