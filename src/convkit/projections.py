"""Cut out of images what a unit sees of them, and project units back to pixels."""

from collections.abc import Sequence

import torch
from torch import Tensor

from convkit.convnet import ConvNet
from convkit.errors import UserError
from convkit.explainers.deconvnet import project
from convkit.inspection.units import Units, units
from convkit.taps import chosen_stages

AT_ONCE = 32  # images on their way back


class Windows:
    """The window of each unit of a stage, of one size: h×w pixels that lie in the image and hold what the unit sees."""

    def __init__(self, units: Units, device: torch.device | None = None) -> None:
        self.units = units
        self.size = units.rows.extent, units.columns.extent
        self._tops, self._lefts = (
            torch.tensor([side.start(unit) for unit in range(side.count)], device=device)
            for side in (units.rows, units.columns)
        )
        self._down, self._across = (torch.arange(extent, device=device) for extent in self.size)
        self._whole = self.size == (units.rows.image, units.columns.image)

    def cut(self, images: Tensor, sources: Tensor, places: Tensor) -> Tensor:
        """L×C×h×w: of N×C×H×W images those at ``sources``, L indices, in the windows of L ``places``."""
        if self._whole:
            return images[sources]
        rows, columns = self._pixels(places)
        return images[sources[:, None, None], :, rows, columns].permute(0, 3, 1, 2)

    def paste(self, windows: Tensor, places: Tensor) -> Tensor:
        """L×C×H×W: what was cut in its place in an image of the mean colour. A unit answers to it as to the whole."""
        if self._whole:
            return windows
        images = windows.new_zeros(len(windows), windows.shape[1], self.units.rows.image, self.units.columns.image)
        rows, columns = self._pixels(places)
        images[torch.arange(len(windows), device=windows.device)[:, None, None], :, rows, columns] = windows.permute(
            0, 2, 3, 1
        )
        return images

    def _pixels(self, places: Tensor) -> tuple[Tensor, Tensor]:
        width = self.units.columns.count
        tops, lefts = self._tops[places // width], self._lefts[places % width]
        return (tops[:, None] + self._down)[:, :, None], (lefts[:, None] + self._across)[:, None, :]

    def seen(self, places: Tensor) -> Tensor:
        """L×h×w: which pixels of its window each unit sees; at the image's border the window holds others too."""
        mask = torch.zeros(len(places), *self.size, dtype=torch.bool)
        for one, place in zip(mask, places.tolist(), strict=True):
            row, column = self.units.place(place)
            top, left, bottom, right = self.units.box(row, column)
            first, start = self.units.rows.start(row), self.units.columns.start(column)
            one[top - first : bottom - first, left - start : right - start] = True
        return mask


def projections(net: ConvNet, images: Tensor, units: Units, maps: Tensor, places: Tensor) -> Tensor:
    """L×C×H×W: for each image the deconvnet's projection of one unit: L maps and L places of a stage."""
    width = units.columns.count
    pairs = torch.stack([places // width, places % width], 1)
    parts = (torch.split(part, AT_ONCE) for part in (images, maps, pairs))
    return torch.cat([project(net, image, units.stage, one, pair) for image, one, pair in zip(*parts, strict=True)])


def with_maps(
    net: ConvNet, image_shape: tuple[int, int, int], names: Sequence[str] | None, option: str
) -> dict[str, Units]:
    """The units of the stages that names or patterns stand for; without any, of all with maps but the head.

    Raises:
        UserError: a name fits no stage; a named stage, or every one, has no maps.
    """
    refused: dict[str, UserError] | None = {} if names is None else None
    found = units(net, image_shape, chosen_stages(net, names, option), refused)
    if refused and not found:
        raise next(reversed(refused.values()))
    return found


def projectable(
    net: ConvNet, image_shape: tuple[int, int, int], names: Sequence[str] | None, option: str
) -> dict[str, Units]:
    """As ``with_maps``, of those that can be projected to pixels.

    Raises:
        UserError: moreover, a named stage, or every one, has no ReLU on the way.
    """
    found = with_maps(net, image_shape, names, option)
    refused = {stage: error for stage in found if (error := unprojectable(net, image_shape, stage))}
    if refused and (names is not None or len(refused) == len(found)):
        raise next(reversed(refused.values()))
    return {stage: units for stage, units in found.items() if stage not in refused}


def unprojectable(net: ConvNet, image_shape: tuple[int, int, int], stage: str) -> UserError | None:
    """Why the units of a stage cannot be projected, if so: tried with one grey image."""
    parameter = next(net.parameters())
    zero = torch.zeros(1, dtype=torch.int64, device=parameter.device)
    image = torch.zeros(1, *image_shape, device=parameter.device, dtype=parameter.dtype)
    try:
        project(net, image, stage, zero, torch.stack([zero, zero], 1))
    except UserError as error:
        return UserError(f"stage {stage} cannot be projected to pixels: {error}")
    return None
