"""A network's table in text that fits 100 columns."""

from collections.abc import Iterator, Sequence

from convkit.inspection.layers import Row, Table
from convkit.sizes import times

WIDTH = 100
GAP = "  "


def as_text(table: Table, stages: bool, compare: Sequence[str]) -> Iterator[str]:
    """The lines: one a layer or one a stage, then the totals."""
    if compare:
        yield from _comparison(table, compare)
        return
    rows = table.stages if stages else table.layers
    if stages and not rows:
        yield "this architecture names no stages"
        return
    heads = (
        "stage" if stages else "layer",
        "type",
        "output",
        "neurons",
        "parameters",
        "M macs",
        "sees",
        "stride",
        "padding",
    )
    yield from _aligned(heads, [_cells(row) for row in rows], right=range(3, 9))
    yield ""
    yield from _totals(table)
    if lost := next((row for row in rows if row.lost), None):
        yield f"?: from {lost.name} on, what a unit sees is not known: {lost.lost} is not understood"


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.name,
        row.type,
        times(row.output_shape),
        f"{row.neurons:,}",
        f"{row.parameters:,}" if row.parameters else "",
        millions(row.macs) if row.macs else "",
        _field(row),
        _sides(row.stride),
        row.padding or "",
    )


def _field(row: Row) -> str:
    return "?" if row.receptive_field is None else "image" if row.whole_image else _sides(row.receptive_field)


def _sides(sides: tuple[float, float] | None) -> str:
    if sides is None:
        return ""
    texts = [f"{side:,.4g}" if side != int(side) else f"{int(side):,}" for side in sides]
    return texts[0] if sides[0] == sides[1] else "×".join(texts)


def millions(count: int) -> str:
    """``1,849.7``; three digits where it is less than one."""
    return f"{count / 1e6:,.1f}" if count >= 1e6 else f"{count / 1e6:.3f}"


def _totals(table: Table) -> Iterator[str]:
    """By type of layer, the costly ones first, then of the network."""
    kinds: dict[str, list[Row]] = {}
    for row in table.layers:
        if row.parameters or row.macs:
            kinds.setdefault(row.type, []).append(row)
    rows = [
        (kind, len(group), sum(row.parameters for row in group), sum(row.macs for row in group))
        for kind, group in kinds.items()
    ]
    rows.sort(key=lambda row: (-row[3], -row[2]))
    rows.append(("total", sum(row[1] for row in rows), sum(row[2] for row in rows), table.macs))
    cells = [(kind, f"{count:,}", f"{parameters:,}", f"{macs:,}") for kind, count, parameters, macs in rows]
    yield from _aligned(("", "layers", "parameters", "macs"), cells, right=range(1, 4))
    yield f"neurons of the layers with macs: {table.neurons:,}"
    if table.idle_parameters:
        whole, idle = f"{table.parameters:,}", f"{table.idle_parameters:,}"
        yield f"with the {idle} parameters that evaluation does not use, such as auxiliary heads': {whole}"


def _comparison(table: Table, compare: Sequence[str]) -> Iterator[str]:
    """The parameters of each convolution, and of what would take its place; multiply-adds are in the JSON."""
    rows = []
    totals = [0, 0, 0]
    for row in table.layers:
        local, dense = row.locally_connected, row.dense
        if not row.convolution or not local or not dense:
            continue
        counts = [row.parameters, local.parameters, dense.parameters]
        totals = [total + count for total, count in zip(totals, counts, strict=True)]
        kernel = times(row.convolution.weight[2:])
        rows.append((row.name, kernel, times(row.output_shape), *(f"{count:,}" for count in counts)))
    rows.append(("total", "", "", *(f"{total:,}" for total in totals)))
    heads = ("layer", "kernel", "output", "convolution", "locally connected", "dense")
    kept = [0, 1, 2, 3, *(4 + index for index, name in enumerate(("local", "dense")) if name in compare)]
    cells = [tuple(row[index] for index in kept) for row in rows]
    yield "parameters of each convolution, and of what would connect the same units"
    yield from _aligned([heads[index] for index in kept], cells, right=range(3, len(kept)))
    yield "A locally connected layer multiplies as often as the convolution, a dense one once a weight."


def _aligned(heads: Sequence[str], rows: Sequence[Sequence[str]], right: range) -> Iterator[str]:
    """Columns side by side; where they are too wide, the first two give way."""
    widths = [max(len(row[column]) for row in (heads, *rows)) for column in range(len(heads))]
    over = sum(widths) + len(GAP) * (len(widths) - 1) - WIDTH
    for column, least in ((0, 18), (1, 11), (0, 8)):
        if over > 0 and column not in right:
            taken = max(min(over, widths[column] - least), 0)
            widths[column] -= taken
            over -= taken
    for row in (heads, *rows):
        cells = [_fit(cell, width, column) for column, (cell, width) in enumerate(zip(row, widths, strict=True))]
        aligned = [
            f"{cell:>{width}}" if column in right else f"{cell:<{width}}"
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        yield GAP.join(aligned).rstrip()


def _fit(text: str, width: int, column: int) -> str:
    if len(text) <= width:
        return text
    return f"…{text[len(text) - width + 1 :]}" if column == 0 else f"{text[: width - 1]}…"
