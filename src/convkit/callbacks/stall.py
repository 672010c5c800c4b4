"""When a value has stopped improving."""

import math
from typing import Any


class Stall:
    """Counts validations without improvement.

    Args:
        patience: how many are forgiven; the next one is a stall.
        threshold: what counts as an improvement, in the value's unit. Lower is better.
    """

    def __init__(self, patience: int, threshold: float) -> None:
        self.patience, self.threshold = patience, threshold
        self.best, self.waited = math.inf, 0

    def judge(self, value: float) -> bool:
        """Whether it has stalled, after one more validation; the count then begins anew. NaN is no improvement."""
        if value < self.best - self.threshold:
            self.best, self.waited = value, 0
            return False
        self.waited += 1
        if self.waited <= self.patience:
            return False
        self.waited = 0
        return True

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "waited": self.waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best, self.waited = state["best"], state["waited"]
