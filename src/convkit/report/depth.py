"""Cost and receptive field over the depth of a network, as a picture."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from convkit.inspection.layers import Row, Table

INK, MACS, WEIGHTS, FIELD = "#222222", "#2f6f9f", "#c77b30", "#1b6e3c"


def depth_figure(table: Table, title: str) -> Figure:
    """Three panels that share their depth, the layers with weights in the order in which they run: multiply-adds,
    parameters, and the receptive field beside the image."""
    rows = [row for row in table.layers if row.macs]
    figure = Figure(figsize=(10, 7.5), dpi=120, layout="constrained")
    panels: Sequence[Axes] = figure.subplots(3, 1, sharex=True)
    millions = f"{table.macs / 1e6:,.1f}" if table.macs >= 1e5 else f"{table.macs / 1e6:.3f}"
    figure.suptitle(f"{title}: {table.parameters:,} parameters, {millions} million multiply-adds", color=INK)
    depth = range(1, len(rows) + 1)
    for panel, values, colour, label in (
        (panels[0], [row.macs for row in rows], MACS, "multiply-adds"),
        (panels[1], [row.parameters for row in rows], WEIGHTS, "parameters"),
    ):
        panel.bar(depth, values, width=0.8, color=colour)
        panel.set_ylabel(label)
        panel.yaxis.set_major_formatter(FuncFormatter(_short))
    _fields(panels[2], rows, table)
    _stages(panels, rows, table)
    panels[2].set_xlabel("layers that multiply and add, in the order in which they run")
    panels[2].set_xlim(0.4, len(rows) + 0.6)
    for panel in panels:
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(axis="y", alpha=0.25)
        panel.set_axisbelow(True)
    return figure


def _fields(panel: Axes, rows: Sequence[Row], table: Table) -> None:
    known = [(index, max(row.receptive_field)) for index, row in enumerate(rows, 1) if row.receptive_field]
    panel.plot([index for index, _ in known], [size for _, size in known], ".-", color=FIELD, linewidth=1)
    side = table.image_shape[1:]
    panel.axhline(max(side), color=INK, linewidth=1, linestyle="--")
    panel.annotate(f"the image: {side[0]}×{side[1]}", (0.01, max(side)), xycoords=("axes fraction", "data"),
                   xytext=(0, 3), textcoords="offset points", fontsize=8, color=INK)  # fmt: skip
    panel.set_ylabel("receptive field (pixels)")
    panel.set_ylim(bottom=0)


def _stages(panels: Sequence[Axes], rows: Sequence[Row], table: Table) -> None:
    """Where each stage ends; its name where there is room for it."""
    depths = [sum(bool(row.macs) for row in table.layers[:end]) for end in table.stage_ends]
    start, free = 0, 0.0
    for stage, end in zip(table.stages, depths, strict=True):
        if end <= start:
            continue
        for panel in panels:
            panel.axvline(end + 0.5, color=INK, linewidth=0.6, alpha=0.3)
        middle, width = (start + end + 1) / 2, len(stage.name) * len(rows) / 140
        if middle - width / 2 > free:
            panels[0].annotate(stage.name, (middle, 1.01), xycoords=("data", "axes fraction"), ha="center", fontsize=8)
            free = middle + width / 2
        start = end


def _short(value: float, position: int) -> str:
    """``1.8 G``, ``230 M``, ``12 k``."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.3g}"
