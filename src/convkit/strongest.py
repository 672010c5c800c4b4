"""For every map of a layer the strongest activations among all images seen, at next to no cost a batch."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from convkit.errors import UserError

FIELDS = ("values", "images", "places")


class Won(NamedTuple):
    """M maps whose k strongest may have changed, and M×k: each one's place in the batch, below 0 where it was there."""

    maps: Tensor
    sources: Tensor


class Strongest:
    """The ``top`` largest maxima over space of each of C maps, one an image, strongest first.

    Of equal ones the image of the lower index comes first and the first place in reading order, so that neither the
    order of the batches nor their division among processes matters. A map with a NaN in it is left out.
    ``values``: C×k, −inf where there is none yet; ``images``: C×k indices, −1 likewise; ``places``: C×k, row·width +
    column. Memory does not depend on the number of images.

    Args:
        maps: C.
        top: k.
        device: where the activations are.
    """

    def __init__(self, maps: int, top: int, device: torch.device | None = None) -> None:
        self.values = torch.full((maps, top), -torch.inf, device=device)
        self.images = torch.full((maps, top), -1, device=device)
        self.places = torch.zeros((maps, top), dtype=torch.int64, device=device)
        self._all = torch.arange(maps, device=device)
        # On a processor only those maps are updated that were beaten: few, soon. Elsewhere to ask which they are would
        # stop the device, and all of them cost less than that.
        self.asks = self.values.device.type == "cpu"

    @torch.no_grad()
    def update(self, maps: Tensor, images: Tensor) -> Won | None:
        """One batch: N×C×H×W or N×C activations, and N indices of its images; None where nothing changed."""
        maps = maps.detach()
        if maps.ndim == 2:
            maps = maps[:, :, None, None]
        peaks = spatial_maximum(maps).float().nan_to_num(-torch.inf, torch.inf, -torch.inf)
        beaten = self._beaten(peaks, images) if self.asks else self._all
        if not len(beaten):
            return None
        old, top = (getattr(self, name).index_select(0, beaten) for name in FIELDS), self.values.shape[1]
        old_values, old_images, places = old
        values = torch.cat([old_values, peaks.index_select(1, beaten).T], 1)
        indices = torch.cat([old_images, images.expand(len(beaten), -1)], 1)
        order = _ranked(values, indices)[:, :top]
        sources = order - top
        places = places.gather(1, order.clamp(max=top - 1))
        if self.asks:
            row, column = (sources >= 0).nonzero(as_tuple=True)
            places[row, column] = maps[sources[row, column], beaten[row]].flatten(1).argmax(1)
        else:
            found = maps[sources.clamp(min=0), beaten[:, None]].flatten(2).argmax(2)
            places = torch.where(sources >= 0, found, places)
        for name, new in zip(FIELDS, (values.gather(1, order), indices.gather(1, order), places), strict=True):
            getattr(self, name).index_copy_(0, beaten, new)
        return Won(beaten, sources)

    def _beaten(self, peaks: Tensor, images: Tensor) -> Tensor:
        """The maps whose k-th best is weaker than something in the batch, or as strong and of a later image."""
        last = self.values[:, -1]
        maps = (peaks.amax(0) >= last).nonzero()[:, 0]
        rows, weakest = peaks.index_select(1, maps), last[maps]
        earlier = images[:, None] < self.images[:, -1][maps]
        return maps[((rows > weakest) | ((rows == weakest) & earlier)).any(0)]

    def merge(self, parts: Sequence["Strongest"]) -> Tensor:
        """Become what one that had seen all that these saw would be; C×k: the part that each came from.

        What several of them hold already counts once, so that merging again changes nothing.
        """
        values, images, places = (torch.cat([getattr(part, name) for part in parts], 1) for name in FIELDS)
        order = _ranked(values, images)
        sorted_values, sorted_images = values.gather(1, order), images.gather(1, order)
        again = (sorted_values[:, 1:] == sorted_values[:, :-1]) & (sorted_images[:, 1:] == sorted_images[:, :-1])
        sorted_values[:, 1:].masked_fill_(again, -torch.inf)
        sorted_images[:, 1:].masked_fill_(again, -1)
        top = self.values.shape[1]
        order = order.gather(1, _ranked(sorted_values, sorted_images)[:, :top])
        self.values, self.images, self.places = (each.gather(1, order) for each in (values, images, places))
        return order // top

    def state_dict(self) -> dict[str, Tensor]:
        return {name: getattr(self, name).cpu().clone() for name in FIELDS}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from a state.

        Raises:
            UserError: it is of another number of maps or of strongest ones.
        """
        for name in FIELDS:
            own = getattr(self, name)
            if state[name].shape != own.shape:
                kept, wanted = ("×".join(map(str, each.shape)) for each in (state[name], own))
                raise UserError(f"the strongest activations were kept of {kept} (maps × images), and are now {wanted}")
            own.copy_(state[name])


def spatial_maximum(maps: Tensor) -> Tensor:
    """N×C×H×W to N×C, with any memory format."""
    if maps.is_contiguous() or not maps.is_contiguous(memory_format=torch.channels_last):
        return maps.amax((2, 3))
    # One side after the other, channels innermost: both at once takes forty times as long at 16 channels.
    return maps.permute(0, 2, 3, 1).amax(1).amax(1)


def _ranked(values: Tensor, images: Tensor) -> Tensor:
    """The order along each row: descending values, of equal ones ascending images, of those as they stand."""
    by_image = images.argsort(dim=1, stable=True)
    by_value = values.gather(1, by_image).argsort(dim=1, descending=True, stable=True)
    return by_image.gather(1, by_value)
