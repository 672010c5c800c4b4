"""The loader: convkit's batches of image files, with a place in the epoch that cannot be taken for another."""

import hashlib
from functools import cached_property

from convkit import UserError
from convkit.datasets.file_batches import FileBatches

OPTIONS = ("batch_size", "seed", "mix")  # what the order follows from, by the options' names


class ChunkBatches(FileBatches):
    """Its state says what the order was made from, besides epoch and place: in another order the place is of no use.

    At the end of an epoch anything may change, and the number of ranks and workers at any time.
    """

    @cached_property
    def _images(self) -> int:
        """A number that changes with the images: their chunks, and which of them there are."""
        stamp = self.images.files.stamp(self.rows) + self.images.files.targets[self.rows].tobytes()
        return int(hashlib.sha256(stamp).hexdigest()[:12], 16)

    def state_dict(self) -> dict[str, int]:
        made_from = {name: int(getattr(self.sampler, name)) for name in OPTIONS}
        return {**super().state_dict(), **made_from, "images": self._images}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on there; a state without what the order was made from, of an older version's, is taken at its word.

        Raises:
            UserError: it is the middle of an epoch in another order.
        """
        if state["next_batch"]:
            for name in OPTIONS:
                was, now = state.get(name), getattr(self.sampler, name)
                if was not in (None, now):
                    raise UserError(
                        f"the checkpoint is of the middle of an epoch with data.{name} {was}, and it is {now} now, "
                        f"which would repeat some images and leave out others; go on with --data.{name} {was}, or "
                        "from a checkpoint of an epoch's end"
                    )
            if state.get("images", self._images) != self._images:
                raise UserError(
                    "the checkpoint is of the middle of an epoch of other images than are there now; go on with "
                    "data.root and data.val_fraction as they were, or from a checkpoint of an epoch's end"
                )
        super().load_state_dict(state)
