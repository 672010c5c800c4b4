"""When the layers of a network settle: how much of each changes from one recorded epoch to the next."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from convkit.evolution.history import Array, History, Moment


class Settling(NamedTuple):
    """A stage at an epoch, against the epoch recorded before it; None at the first, or where nothing is measured.

    ``winners``: share of maps whose strongest image is another. ``projections``: mean over the maps with pictures of
    1 − the cosine between the projections, 0 to 2. ``filters``: distance of the weights to their last state, relative
    to its norm; 0 at the last.
    """

    stage: str
    epoch: int
    winners: float | None
    projections: float | None
    filters: float | None


def settling(history: History, last: Array) -> list[Settling]:
    """A row for each recorded epoch; ``last``: the sample of the stage's weights as they are now."""
    rows = []
    before: Moment | None = None
    for epoch, moment in history.moments.items():
        winners = projections = None
        if before is not None:
            winners = float(np.count_nonzero(moment.images != before.images)) / len(moment.images)
            if len(moment.projections):
                projections = 1 - float(cosines(moment.projections, before.projections).sum()) / len(moment.projections)
        rows.append(Settling(history.stage, epoch, winners, projections, distance(moment.filters, last)))
        before = moment
    return rows


def cosines(one: Array, other: Array) -> NDArray[np.float64]:
    """P×… and P×… to P; of nothing with nothing 1, of nothing with something 0."""
    first, second = (np.asarray(each, dtype=np.float64).reshape(len(each), -1) for each in (one, other))
    norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    both_empty = ~first.any(1) & ~second.any(1)
    found: NDArray[np.float64] = np.where(
        norms > 0, (first * second).sum(1) / np.where(norms > 0, norms, 1), both_empty
    )
    return found


def distance(filters: Array, last: Array) -> float | None:
    """‖filters − last‖ / ‖last‖; None without weights."""
    then, now = np.asarray(filters, dtype=np.float64), np.asarray(last, dtype=np.float64)
    norm = float(np.linalg.norm(now))
    return float(np.linalg.norm(then - now)) / norm if norm else None
