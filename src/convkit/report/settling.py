"""When each stage settles, as curves over the epochs."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator

from convkit.evolution.settling import Settling

PANELS = {
    "winners": "maps with another winner",
    "projections": "change of the projections",
    "filters": "filters: distance to their last state",
}
LINEAR = 20  # the last epoch up to which they are evenly spaced


def settling_figure(rows: Sequence[Settling]) -> Figure:
    """Three panels over the epoch, a curve a stage, the lower the layer the darker."""
    figure = Figure(figsize=(10, 3.4), dpi=110, layout="constrained")
    panels: Sequence[Axes] = figure.subplots(1, 3)
    stages = list(dict.fromkeys(row.stage for row in rows))
    epochs = sorted({row.epoch for row in rows})
    for panel, (measure, label) in zip(panels, PANELS.items(), strict=True):
        for index, stage in enumerate(stages):
            values = {row.epoch: getattr(row, measure) for row in rows if row.stage == stage}
            known = {epoch: value for epoch, value in values.items() if value is not None}
            shade = index / max(1, len(stages) - 1)
            colour = (0.10 + 0.75 * shade, 0.22 + 0.33 * shade, 0.48 - 0.28 * shade)
            panel.plot(
                list(known),
                list(known.values()),
                "o-",
                color=colour,
                markersize=3,
                linewidth=1.2,
                label=stage,
                clip_on=False,
            )
        if epochs[-1] > LINEAR:  # the usual ones are further and further apart
            panel.set_xscale("log")
        panel.xaxis.set_major_locator(FixedLocator(epochs))
        panel.xaxis.set_minor_locator(NullLocator())
        panel.xaxis.set_minor_formatter(NullFormatter())
        panel.set_xticks(epochs, [str(epoch) for epoch in epochs])
        panel.set_xlabel("epoch")
        panel.set_title(label, fontsize=10)
        panel.set_ylim(bottom=0)
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(axis="y", alpha=0.25)
    panels[-1].legend(fontsize=8, frameon=False)
    return figure
