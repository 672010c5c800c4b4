"""The ways from a high rate to a low one."""

import math
from collections.abc import Callable

# The share of the way that is done, 0 to 1, to the share of the difference that is left, 1 to 0.
DECLINE: dict[str, Callable[[float], float]] = {
    "cosine": lambda done: (1 + math.cos(math.pi * done)) / 2,
    "linear": lambda done: 1 - done,
}
