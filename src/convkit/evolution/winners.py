"""The strongest unit of every map of a stage, and of some maps what it saw: kept while a network trains."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from convkit.errors import UserError
from convkit.inspection.units import Units
from convkit.projections import Windows
from convkit.strongest import Strongest

Gather = Callable[[Tensor], list[Tensor]]  # a tensor of this process to those of all of them


class Winners:
    """One unit a map over all images seen; of P ``pictured`` maps its window of the image: P×C×h×w as it was given.

    Memory: P windows, however many images. A window is copied only when its map's maximum was beaten.

    Args:
        units: of the stage.
        pictured: maps, ascending.
        channels: C of the images.
        device: where the activations are.
    """

    def __init__(self, units: Units, pictured: Sequence[int], channels: int, device: torch.device) -> None:
        self.units, self.windows = units, Windows(units, device)
        self.strongest = Strongest(units.maps, 1, device)
        self.pictured = torch.tensor(list(pictured), dtype=torch.int64, device=device)
        self.patches = torch.zeros(len(self.pictured), channels, *self.windows.size, device=device)
        self._slots = torch.full((units.maps,), -1, device=device)
        self._slots[self.pictured] = torch.arange(len(self.pictured), device=device)

    @property
    def places(self) -> Tensor:
        """P: where each pictured map's unit is."""
        return self.strongest.places[self.pictured, 0]

    @torch.no_grad()
    def update(self, maps: Tensor, positions: Tensor, images: Tensor) -> None:
        """One batch: its activations, the positions of its N images, and N×C×H×W as the network saw them."""
        won = self.strongest.update(maps, positions)
        if won is None or not len(self.pictured):
            return
        if self.strongest.asks:
            sources, slots = won.sources[:, 0], self._slots[won.maps]
            new = ((sources >= 0) & (slots >= 0)).nonzero()[:, 0]
            if len(new):
                slots = slots[new]
                self.patches[slots] = self.windows.cut(images, sources[new], self.places[slots]).to(self.patches.dtype)
        else:  # for all of them: nobody waits for the device
            sources = won.sources[self.pictured, 0]
            cut = self.windows.cut(images, sources.clamp(min=0), self.places)
            self.patches = torch.where((sources >= 0)[:, None, None, None], cut.to(self.patches.dtype), self.patches)

    def merge(self, gather: Gather) -> None:
        """Become the winners of all processes; what won is the same on each of them. Merging again changes nothing."""
        kept = [gather(getattr(self.strongest, name)) for name in ("values", "images", "places")]
        parts = []
        for values, images, places in zip(*kept, strict=True):
            part = Strongest(0, 1)
            part.values, part.images, part.places = values, images, places
            parts.append(part)
        owners = self.strongest.merge(parts)[self.pictured, 0]
        if not len(self.pictured):
            return
        patches = torch.stack(gather(self.patches))
        self.patches = patches[owners, torch.arange(len(owners), device=owners.device)]

    def state_dict(self) -> dict[str, Tensor]:
        kept = {"pictured": self.pictured.cpu().clone(), "patches": self.patches.cpu().clone()}
        return {**self.strongest.state_dict(), **kept}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from a state.

        Raises:
            UserError: it is of other maps.
        """
        self.strongest.load_state_dict(state)
        if not torch.equal(state["pictured"], self.pictured.cpu()) or state["patches"].shape != self.patches.shape:
            raise UserError(f"stage {self.units.stage}: the checkpoint kept pictures of other feature maps")
        self.patches.copy_(state["patches"])
