"""What :class:`FeatureEvolution` leaves in a run: numbers, strips of pictures, and when each stage settles."""

import csv
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from convkit.convnet import ConvNet
from convkit.datasets.base import ImageData
from convkit.evolution.filters import filters
from convkit.evolution.history import History, Moment
from convkit.evolution.settling import Settling, settling
from convkit.evolution.winners import Winners
from convkit.inspection.units import Units
from convkit.projections import AT_ONCE, projections
from convkit.report.features import Block, patches_page, strips_page
from convkit.report.settling import settling_figure
from convkit.tracking import show
from convkit.tracking.show import Place
from convkit.tracking.sparing import spared

FOLDER = "evolution"


class EvolutionPages:
    """``evolution/``: ``<stage>.npz`` and ``<stage>.png``, ``settling.csv`` and ``settling.png``.

    Only the process that has a folder keeps and writes; ``recorded`` is the same on all of them.
    """

    def __init__(self) -> None:
        self.folder: Path | None = None
        self.recorded: list[int] = []
        self.histories: dict[str, History] = {}
        self._new: list[str] = []

    def begin(self, run: Path | None, pictured: dict[str, tuple[Units, Sequence[int]]]) -> None:
        """A fit starts; ``pictured``: the units of each stage, and the maps with pictures."""
        self.folder = None if run is None else run / FOLDER
        self.recorded = []
        self.histories = (
            {} if run is None else {name: History(name, maps, units) for name, (units, maps) in pictured.items()}
        )

    def take_along(self, run: Path, recorded: list[int]) -> None:
        """The epochs that a checkpoint of ``run`` had behind it: a resumed fit goes on with them."""
        self.recorded = list(recorded)
        if not recorded or self.folder is None:
            return
        for history in self.histories.values():
            if not history.load(run / FOLDER, recorded):
                warnings.warn(f"no earlier epochs of {history.stage} are taken along from {run / FOLDER}", stacklevel=2)

    def record(self, epoch: int, net: ConvNet, winners: dict[str, Winners], data: ImageData) -> None:
        """The end of an epoch, with the network as it is now."""
        self.recorded = sorted({*self.recorded, epoch})
        if self.folder is None:
            return
        for name, one in winners.items():
            self.histories[name].add(epoch, moment(net, one, data))
        with spared(f"{self.folder} is not all written", OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            for name in winners:
                history = self.histories[name]
                history.save(self.folder)
                if history.maps:
                    strip(history).save(self.folder / f"{name}.png")
        self.settle(net)

    def settle(self, net: ConvNet) -> None:
        """How far each stage was from where it is now, at every recorded epoch."""
        if self.folder is None or not any(history.moments for history in self.histories.values()):
            return
        rows = [
            row for name, history in self.histories.items() for row in settling(history, filters(net, name).numpy())
        ]
        with spared(f"{self.folder} is not all written", OSError):
            with (self.folder / "settling.csv").open("w", newline="") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(Settling._fields)
                writer.writerows(["" if cell is None else cell for cell in row] for row in rows)
            settling_figure(rows).savefig(self.folder / "settling.png")

    def log(self, loggers: Sequence[Any], step: int) -> None:
        """The last epoch into the loggers: ``evolution/<stage>``, whose slider over steps is one over epochs, and the
        strips of all epochs so far, ``evolution/<stage>_strip``."""
        if self.folder is None or not self.recorded:
            return
        epoch = self.recorded[-1]
        for name, history in self.histories.items():
            if history.maps and epoch in history.moments:
                show.picture(loggers, Place(f"evolution/{name}", step, epoch), at(history, epoch))
                show.picture(loggers, Place(f"evolution/{name}_strip", step, epoch), strip(history))
        settled = self.folder / "settling.png"
        if settled.is_file():
            with Image.open(settled) as page:
                show.picture(loggers, Place("evolution/settling", step, epoch), page)


def moment(net: ConvNet, winners: Winners, data: ImageData) -> Moment:
    """The winners of an epoch, projected to pixels."""
    units, places = winners.units, winners.places
    ways = [_projected(net, winners, part) for part in torch.arange(len(places)).split(AT_ONCE)]  # type: ignore[no-untyped-call]
    patches = winners.patches.cpu()
    mean, std = (torch.tensor(values)[:, None, None] for values in (data.mean, data.std))
    values, images, every = (getattr(winners.strongest, name)[:, 0].cpu().numpy() for name in _KEPT)
    return Moment(
        values,
        images,
        every // units.columns.count,
        every % units.columns.count,
        ((patches * std + mean).clamp(0, 1) * 255).round().byte().numpy(),
        torch.cat(ways).numpy() if ways else np.empty(0, np.float16),
        winners.windows.seen(places).numpy(),
        filters(net, units.stage).numpy(),
    )


_KEPT = ("values", "images", "places")


def _projected(net: ConvNet, winners: Winners, some: Tensor) -> Tensor:
    """L×C×h×w float16, each of a largest value of 1 at most: small ones would be lost in it."""
    some = some.to(winners.places.device)
    places, windows = winners.places[some], winners.windows
    images = windows.paste(winners.patches[some], places)
    ways = windows.cut(
        projections(net, images, winners.units, winners.pictured[some], places),
        torch.arange(len(some), device=some.device),
        places,
    ).float()
    largest = ways.abs().flatten(1).amax(1).clamp(min=torch.finfo(torch.float32).tiny)
    return (ways / largest[:, None, None, None]).half().cpu()


def at(history: History, epoch: int) -> Any:
    """One epoch: of each map its projection and its patch."""
    moment = history.moments[epoch]
    patches, ways, seen = (torch.from_numpy(values) for values in (moment.patches, moment.projections, moment.seen))
    blocks = [
        Block(f"map {channel}", patches[one].float() / 255, ways[one].float(), seen[one])
        for channel, one in zip(history.maps, torch.arange(len(history.maps)).split(1), strict=True)  # type: ignore[no-untyped-call]
    ]
    return patches_page(blocks, f"{history.stage}, epoch {epoch}: strongest of the epoch, projection and patch")


def strip(history: History) -> Any:
    """One row a map, one column an epoch."""
    patches, ways, seen = (torch.from_numpy(history.stacked(name)) for name in ("patches", "projections", "seen"))
    rows = [
        Block(f"map {channel}", patches[:, index].float() / 255, ways[:, index].float(), seen[:, index])
        for index, channel in enumerate(history.maps)
    ]
    return strips_page(list(history.moments), rows, f"{history.stage}: strongest of each epoch, patch and projection")
