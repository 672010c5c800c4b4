"""What excites every feature map most (Zeiler & Fergus 2014, figure 2): one pass over a split of a data set."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from convkit.classifier import Classifier
from convkit.datasets.base import ImageData
from convkit.errors import UserError
from convkit.inspection.layers import evaluating
from convkit.inspection.units import Units, units
from convkit.projections import Windows, projections
from convkit.strongest import Strongest
from convkit.taps import taps

Progress = Callable[[int], None]  # gets the number of images seen so far
AT_ONCE = 144  # images whose pictures are in memory


class Found(NamedTuple):
    """Of each map of a stage the strongest activations, and where in the image its units look."""

    units: Units
    strongest: Strongest

    def rows(self, maps: Iterable[int], labels: Tensor | None = None) -> Iterator[dict[str, Any]]:
        """One for each activation, strongest first: stage, channel, rank, value, image, label, place, box in pixels."""
        for channel in maps:
            entries = (getattr(self.strongest, name)[channel].tolist() for name in ("values", "images", "places"))
            for rank, (value, image, index) in enumerate(zip(*entries, strict=True), 1):
                if image < 0:
                    continue  # there are fewer images
                row, column = self.units.place(index)
                box = dict(zip(("top", "left", "bottom", "right"), self.units.box(row, column), strict=True))
                about = {"stage": self.units.stage, "channel": channel, "rank": rank, "value": value, "image": image}
                label = {} if labels is None else {"label": int(labels[image])}
                yield {**about, **label, "row": row, "column": column, **box}


class Pictures(NamedTuple):
    """A map's k strongest: k×C×h×w pixels from 0 to 1, projections (0 is nothing), and k×h×w: what the unit sees."""

    channel: int
    patches: Tensor
    projections: Tensor | None
    seen: Tensor


def search(
    model: Classifier,
    data: ImageData,
    stages: list[str],
    top: int = 9,
    split: str = "val",
    progress: Progress = lambda count: None,
) -> dict[str, Found]:
    """The ``top`` images that excite each map of each stage most, in evaluation mode, on the model's device.

    Images are counted by their place in the split. ``data`` has been set up.

    Raises:
        UserError: a stage puts out no maps.
    """
    device = next(model.parameters()).device
    looked = units(model.net, data.image_shape, stages)
    found = {stage: Found(one, Strongest(one.maps, top, device)) for stage, one in looked.items()}
    now = torch.empty(0)

    def note(stage: str, output: Tensor) -> None:
        found[stage].strongest.update(output, now)

    batches, count = data.evaluation(split), 0
    with evaluating(model), torch.inference_mode(), taps(model.net, stages, note):
        for images, _ in batches:
            given = getattr(batches, "positions", None)  # one that left out files knows which
            now = torch.arange(count, count + len(images)) if given is None else given
            now = now.to(device, non_blocking=True)
            model(images.to(device, non_blocking=True))
            count += len(images)
            progress(count)
    return found


def pictures(
    model: Classifier, data: ImageData, found: Found, maps: Iterable[int], split: str, projected: bool = True
) -> Iterator[Pictures]:
    """The patches of these maps, and the unit of each projected by the deconvnet; a few maps in memory at once.

    Without ``projected`` the patches alone: they need no ReLU.

    Raises:
        UserError: the deconvnet finds no ReLU on the way.
    """
    device = next(model.parameters()).device
    windows = Windows(found.units, device)
    mean, std = (torch.tensor(values)[:, None, None] for values in (data.mean, data.std))
    top, wanted = found.strongest.values.shape[1], list(maps)
    at_once = max(1, AT_ONCE // top)
    for start in range(0, len(wanted), at_once):
        some = wanted[start : start + at_once]
        chosen = torch.tensor(some, device=device)
        kept = found.strongest.images[chosen] >= 0
        counts = kept.sum(1).tolist()
        channels = chosen[:, None].expand(-1, top)[kept]
        positions, places = (getattr(found.strongest, name)[chosen][kept] for name in ("images", "places"))
        different, sources = positions.cpu().unique(return_inverse=True)
        images = data.pick(split, different).to(device)
        sources = sources.to(device)
        patches = windows.cut(images, sources, places).cpu() * std + mean
        back: Sequence[Tensor | None] = [None] * len(some)
        if projected:
            ways = projections(model.net, images[sources], found.units, channels, places)
            back = windows.cut(ways, torch.arange(len(ways), device=device), places).cpu().split(counts)  # type: ignore[no-untyped-call]
        parts = patches.clamp(0, 1).split(counts), back, windows.seen(places).split(counts)  # type: ignore[no-untyped-call]
        for channel, *part in zip(some, *parts, strict=True):
            yield Pictures(channel, *part)


def check_maps(maps: list[int], found: Units, option: str) -> None:
    """Raises UserError where a stage has no such map; names ``option``."""
    for channel in maps:
        if not 0 <= channel < found.maps:
            raise UserError(f"{option}: stage {found.stage} has the maps 0 to {found.maps - 1}, and no {channel}")
