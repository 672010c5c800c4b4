"""A learning rate over a run in a few lines of block characters."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

COLUMNS, ROWS = 60, 6
EIGHTHS = " ▁▂▃▄▅▆▇█"
DECADES = 4  # as many are drawn of those that the rates span


def rate_plot(rates: NDArray[np.float64], stairs: bool, epochs: int | None) -> Iterator[str]:
    """The lines, 72 characters wide.

    Args:
        rates: of each step, at least 0.
        stairs: it falls in drops: over a decade and more they are drawn to a logarithmic scale, else the last ones
            could not be seen.
        epochs: how many there are, for the axis.
    """
    places = np.linspace(0, len(rates) - 1, min(COLUMNS, len(rates))).round().astype(int)
    places = np.repeat(places, COLUMNS // len(places))
    drawn = rates[places]
    most = drawn.max()
    least = max(drawn[drawn > 0].min(initial=most), most / 10**DECADES) if most > 0 else 0.0
    logarithmic = stairs and most >= 10 * least > 0
    if logarithmic:  # the lowest fills one row
        span = np.log(most / least)
        heights = 8 + 8 * (ROWS - 1) * np.log(np.maximum(drawn, least) / least) / span
    else:
        heights = 8 * ROWS * drawn / (most or 1)
    eighths = heights.round().astype(int)
    bottom = f"{least:.3g}" if logarithmic else "0"
    labels = {ROWS - 1: f"{most:.3g}", 0: bottom}
    for row in reversed(range(ROWS)):
        line = "".join(EIGHTHS[min(max(each - 8 * row, 0), 8)] for each in eighths)
        yield f"{labels.get(row, ''):>8} │{line.rstrip()}"
    unit, count = ("epoch", epochs) if epochs and epochs > 1 else ("step", len(rates))
    first, last = f"{unit} 1", f"{unit} {count:,}"
    scale = "logarithmic" if logarithmic else ""
    yield f"{'':8} └{'─' * len(eighths)}"
    room = max(len(eighths) - len(first) - len(last), 2)
    yield f"{'':10}{first}{scale:^{room}}{last}"
