"""Random numbers that are a function of seed, epoch and image alone, whoever draws them and in whatever order."""

import numpy as np
from numpy.typing import NDArray


def uniform(seed: int, epoch: int, images: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    """N×count numbers in [0, 1): ``count`` for each of N images.

    SplitMix64's finalizer (Steele, Lea & Flood 2014, §4.3) over the four numbers in turn. Seeding one of numpy's
    generators for every image would cost as much as enlarging it.
    """
    state = _mixed(np.array([seed % 2**64], dtype=np.uint64))
    state = _mixed(state ^ _mixed(np.array([epoch], dtype=np.uint64) + np.uint64(1)))
    state = _mixed(state[:, None] ^ _mixed(images.astype(np.uint64)[:, None]))
    bits = _mixed(state + np.arange(1, count + 1, dtype=np.uint64) * _GOLDEN)
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _mixed(bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    bits = bits + _GOLDEN
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))
