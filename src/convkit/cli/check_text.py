"""The outlook of a fit in text that fits 80 columns."""

import textwrap
from collections.abc import Iterator, Sequence

from convkit.cli.rate_plot import rate_plot
from convkit.preview.frozen import NEVER, START
from convkit.preview.groups import Group
from convkit.preview.memory import Memory
from convkit.preview.outlook import Outlook
from convkit.preview.timeline import Drop, Timeline
from convkit.sizes import times

WIDTH = 80
LISTED = 4  # drops, or unused parameters, before the rest is only counted


def as_text(outlook: Outlook) -> Iterator[str]:
    """The lines; what could not be found out is left out."""
    yield from _head(outlook)
    if outlook.groups:
        yield ""
        yield from _groups(outlook.groups)
    if outlook.notes or outlook.unused:
        yield ""
    for note in outlook.notes:
        yield from _wrapped(note)
    if outlook.unused:
        more = f" and {len(outlook.unused) - LISTED} more" if len(outlook.unused) > LISTED else ""
        names = f"{', '.join(outlook.unused[:LISTED])}{more}"
        yield from _wrapped(f"unused: the loss does not depend on {names}, so they never learn")
    if outlook.timeline:
        yield from _rates(outlook.timeline, outlook)
    if outlook.memory:
        yield ""
        yield from _memory(outlook.memory)
    if not outlook.problems:
        yield ""
        yield "found nothing that would keep this run from working"


def _wrapped(line: str, indent: str = "  ") -> list[str]:
    return textwrap.wrap(line, WIDTH, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False)


def _head(outlook: Outlook) -> Iterator[str]:
    shape = times(outlook.image_shape)
    yield from _wrapped(
        f"network  {outlook.architecture}, {outlook.parameters:,} parameters: images of {shape}, "
        f"{outlook.num_classes:,} classes", " " * 9
    )  # fmt: skip
    steps = outlook.steps
    of_size = f" of {outlook.batch_size:,}" if outlook.batch_size else ""
    splits = [
        f"{'?' if count is None else f'{count:,}'} {kind}" + (f" in {_many(batches, 'batch')}{size}" if batches else "")
        for kind, count, batches, size in (
            ("images to train on", outlook.images.get("train"), steps.batches, of_size),
            ("to validate on", outlook.images.get("val"), outlook.val_batches, ""),
        )
    ]
    ranks = f"; {outlook.ranks} ranks, each with its share of every batch" if outlook.ranks > 1 else ""
    yield from _wrapped(f"data     {outlook.data}: {', '.join(splits)}{ranks}", " " * 9)
    if steps.per_epoch:
        end = f"{steps.total:,} in {_many(steps.epochs, 'epoch')}" if steps.total and steps.epochs else "without an end"
        often = f"; {outlook.validated}" if outlook.validated else ""
        yield from _wrapped(f"steps    {steps.per_epoch:,} an epoch, {end}{often}", " " * 9)


def _many(count: int, what: str) -> str:
    plural = "es" if what.endswith("ch") and what != "epoch" else "s"
    return f"{count:,} {what}{'' if count == 1 else plural}"


def _groups(groups: Sequence[Group]) -> Iterator[str]:
    """A row a group; where parts of one learn from different times on, a line each."""
    rows: list[tuple[str, ...]] = [("group", "parameters", "rate", "decay", "learns")]
    for group in groups:
        cells = (group.name, f"{group.parameters:,}", f"{group.lr:.4g}", f"{group.weight_decay:.4g}")
        learns = [_when(when, count if len(group.learns) > 1 else None) for when, count in group.learns.items()]
        rows.append((*cells, learns[0]))
        rows += [("", "", "", "", when) for when in learns[1:]]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    widths[0] = min(widths[0], 30)
    for row in rows:
        name, when = row[0], row[-1]
        short = name if len(name) <= widths[0] else f"…{name[1 - widths[0] :]}"
        numbers = "  ".join(f"{cell:>{width}}" for cell, width in zip(row[1:4], widths[1:4], strict=True))
        yield f"{short:<{widths[0]}}  {numbers}  {when}"


def _when(when: str, count: int | None) -> str:
    kind, _, number = when.partition(" ")
    text = {START: "from the start", NEVER: "never: frozen", "epoch": f"from epoch {number} on"}.get(
        kind, f"after stall {number}"
    )
    return text if count is None else f"{text} ({count:,})"


def _rates(timeline: Timeline, outlook: Outlook) -> Iterator[str]:
    for names in timeline.shapes():
        rates = timeline.rates[names[0]]
        drops = timeline.drops(names[0])
        others = f"; {', '.join(names[1:])} in proportion" if len(names) > 1 else ""
        of = f" of {names[0]}{others}" if len(timeline.rates) > 1 else ""
        constant = rates.min() == rates.max()
        peak = f"up to {rates.max():.4g}, then " if rates.max() > rates[0] else ""
        ends = f"{rates[0]:.4g} throughout" if constant else f"from {rates[0]:.4g} {peak}to {rates[-1]:.4g}"
        waits = timeline.waits and f"{rates[0]:.4g} {timeline.waits}"
        yield ""
        yield from _wrapped(f"rate{of}: {waits or ends}")
        if not constant:
            yield from rate_plot(rates, bool(drops), outlook.steps.epochs)
        if drops:
            yield from _wrapped(f"drops: {_drops(drops, outlook.steps.per_epoch or 1)}")


def _drops(drops: Sequence[Drop], per_epoch: int) -> str:
    told = [
        f"to {drop.after:.4g} from "
        + (f"step {drop.step + 1:,}" if drop.step % per_epoch else f"epoch {drop.step // per_epoch + 1:,}")
        for drop in drops
    ]
    return "; ".join(told[:LISTED]) + (f"; … {len(told)} in all" if len(told) > LISTED else "")


def _memory(memory: Memory) -> Iterator[str]:
    rows = [
        ("parameters", memory.parameters),
        ("gradients", memory.gradients),
        ("optimizer", memory.optimizer),
        *([("average of weights", memory.average)] if memory.average else []),
        ("activations", memory.activations),
        ("sum", memory.total),
    ]
    yield f"memory of a step on one device, {memory.batch:,} images: an estimate"
    for name, count in rows:
        yield f"  {name:<18}  {count / 1e6:>11,.2f} MB"
