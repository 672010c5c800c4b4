"""When the layers of a network settle: how much of each changes from one recorded epoch to the next."""

from math import ceil
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from convkit.evolution.history import Array, History, Moment


class Settling(NamedTuple):
    """A stage at an epoch, against the epoch recorded before it; None at the first, or where nothing is measured.

    ``winners``: share of maps whose strongest image is another. ``projections``: mean over the maps with pictures of
    1 − the cosine between the projections, each about its own unit, 0 to 2. ``filters``: distance of the weights to
    their last state, relative to its norm; 0 at the last.
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
                pair = (aligned(each, history) for each in (moment, before))
                projections = 1 - float(cosines(*pair).sum()) / len(moment.projections)
        rows.append(Settling(history.stage, epoch, winners, projections, distance(moment.filters, last)))
        before = moment
    return rows


def aligned(moment: Moment, history: History) -> Array:
    """P×c×h'×w': the projections, each where its unit looks and not where its window lies.

    A window stays inside of the image: that of a unit at the border lies elsewhere about its unit.
    """
    if history.units is None:
        return moment.projections
    sides = history.units.rows, history.units.columns
    reach = [ceil(side.size) + 1 for side in sides]
    found = np.zeros((*moment.projections.shape[:2], *reach), moment.projections.dtype)
    for index, channel in enumerate(history.maps):
        places, sources = [], []
        for side, length, unit in zip(sides, reach, (moment.rows[channel], moment.columns[channel]), strict=True):
            first, extent = side.shift(int(unit)), side.extent
            places.append(slice(max(0, first), min(length, first + extent)))
            sources.append(slice(max(0, -first), max(0, -first) + places[-1].stop - places[-1].start))
        found[index, :, places[0], places[1]] = moment.projections[index, :, sources[0], sources[1]]
    return found


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
