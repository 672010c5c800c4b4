"""Which images make which batch on which rank: a function of seed and epoch alone."""

import numpy as np
from numpy.typing import NDArray

SMALLEST_REST = 8  # images: two for each of four ranks


class Order:
    """Batches of indices over ``count`` images; each image in exactly one batch of one rank in every epoch.

    A batch is divided among the ranks, so ``batch_size`` counts the images of one step over all of them. A rest too
    small to give each rank two images (batch norm cannot train on one) joins the batch before it; so does one below
    ``SMALLEST_REST``, so that up to four ranks make the same steps as one.
    ``RandomState`` is numpy's frozen generator: the order stays the same under newer versions.
    """

    def __init__(self, count: int, batch_size: int, *, seed: int, shuffle: bool, rank: int = 0, ranks: int = 1) -> None:
        self.count, self.batch_size, self.seed, self.shuffle = count, batch_size, seed, shuffle
        self.rank, self.ranks = rank, ranks
        self.epoch = 0
        full, rest = divmod(count, batch_size)
        self.batches = full + (rest >= max(SMALLEST_REST, 2 * ranks)) if full else 1

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this before every training epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.batches

    def indices(self) -> NDArray[np.int64]:
        """All indices of this epoch, in order."""
        if not self.shuffle:
            return np.arange(self.count)
        return np.random.RandomState([self.seed, self.epoch]).permutation(self.count)

    def bounds(self, batch: int) -> tuple[int, int]:
        """First position of a batch and the first after it in :meth:`indices`, over all ranks."""
        return batch * self.batch_size, self.count if batch == self.batches - 1 else (batch + 1) * self.batch_size

    def size(self, batch: int) -> int:
        """Images of a batch on this rank."""
        start, stop = self.bounds(batch)
        return len(range(start + self.rank, stop, self.ranks))

    def share(self, batch: int) -> float:
        """This rank's weight in the mean over ranks (see ``ImageData.rank_share``)."""
        start, stop = self.bounds(batch)
        return self.size(batch) * self.ranks / (stop - start)
