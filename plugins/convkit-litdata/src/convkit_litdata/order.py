"""An order that reads few chunks at a time and mixes their images: a function of seed and epoch alone."""

import numpy as np
from numpy.typing import NDArray

from convkit.datasets.order import Order


class ChunkOrder(Order):
    """Each image once an epoch, as in any ``Order``; shuffled chunk by chunk.

    The chunks come in random order, and so do the images of each. What that makes is cut into ``mix`` streams of equal
    length, which take turns: so images of ``mix`` chunks are mixed at any time, and no more chunks than those are read.
    A batch's images go to the ranks in turn as well. Where ``batch_size`` is a multiple of ``mix`` and ``mix`` one of
    the number of ranks, a rank's images are therefore those of its own streams: it reads its share of the chunks, and
    the order is the same for any such number of ranks.

    Args:
        chunks: N, the number of the chunk that each image lies in.
        batch_size: images of one step, over all ranks.
        mix: streams.
    """

    def __init__(
        self,
        chunks: NDArray[np.int64],
        batch_size: int,
        *,
        seed: int,
        shuffle: bool,
        rank: int = 0,
        ranks: int = 1,
        mix: int = 16,
    ) -> None:
        super().__init__(len(chunks), batch_size, seed=seed, shuffle=shuffle, rank=rank, ranks=ranks)
        self.chunks, self.mix = chunks, min(mix, len(chunks))

    def indices(self) -> NDArray[np.int64]:
        if not self.shuffle:
            return super().indices()
        mixed = np.empty(self.count, dtype=np.int64)
        for number, stream in enumerate(self.streams(self.epoch)):
            mixed[number :: self.mix] = stream
        return mixed

    def streams(self, epoch: int) -> list[NDArray[np.int64]]:
        """The images of each stream, in order."""
        random = np.random.RandomState([self.seed, epoch])
        by_chunk = np.argsort(self.chunks, kind="stable")
        ends = np.flatnonzero(np.diff(self.chunks[by_chunk])) + 1
        groups = np.split(by_chunk, ends)
        shuffled = np.concatenate([random.permutation(groups[chosen]) for chosen in random.permutation(len(groups))])
        lengths = [len(range(number, self.count, self.mix)) for number in range(self.mix)]
        return np.split(shuffled, np.cumsum(lengths)[:-1])

    def following(self, epoch: int) -> dict[int, int]:
        """The chunk that each one is followed by in its stream, where it is followed by one."""
        if not self.shuffle:
            return _pairs(self.chunks)
        return {chunk: after for stream in self.streams(epoch) for chunk, after in _pairs(self.chunks[stream]).items()}


def _pairs(chunks: NDArray[np.int64]) -> dict[int, int]:
    changes = np.flatnonzero(np.diff(chunks))
    return dict(zip(chunks[changes].tolist(), chunks[changes + 1].tolist(), strict=True))
