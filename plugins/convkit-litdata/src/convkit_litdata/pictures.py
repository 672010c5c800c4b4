"""Samples as pictures for convkit's workers, chunks fetched ahead of them."""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from convkit.datasets.crops import Pixels, View
from convkit.datasets.decode import Picture, Unreadable
from convkit.datasets.decoded_cache import Decoded, DecodedCache
from convkit.datasets.fetch import Fetched, ImageFiles, Request
from convkit.datasets.files import Files
from convkit_litdata.chunks import Chunks
from convkit_litdata.mistakes import ReadError, SampleError
from convkit_litdata.order import ChunkOrder

FETCHING = 4  # threads of each process


class Samples(Files):
    """The samples of several parts, one after the other, where convkit has image files.

    Args:
        root: of all parts, a folder or an address.
        parts: the data sets.
        targets: the class of each sample.
    """

    def __init__(self, root: str, parts: Sequence[Chunks], targets: NDArray[np.int64]) -> None:
        super().__init__(Path(root), [], [])
        self.targets, self.parts = targets, list(parts)
        self.starts = np.cumsum([0, *map(len, parts)])

    def place(self, row: int) -> tuple[Chunks, int]:
        part = int(np.searchsorted(self.starts, row, side="right")) - 1
        return self.parts[part], row - int(self.starts[part])

    def name(self, index: int) -> bytes:
        return self.path(index)

    def path(self, index: int) -> bytes:
        part, place = self.place(index)
        return f"{part.where}, sample {place}".encode()

    def stamp(self, rows: NDArray[np.int64]) -> bytes:
        return b"\0".join([*(part.index for part in self.parts), rows.tobytes()])

    def picture(self, row: int) -> Pixels:
        """One sample, decoded when its pixels are asked for.

        Raises:
            Unreadable: it is damaged.
            UserError: its chunk is, or it is not of the class that it is said to be.
        """
        part, place = self.place(row)
        try:
            image, label = part.sample(place)
        except SampleError as error:
            raise Unreadable(str(error)) from error
        if label != self.targets[row]:
            raise ReadError(
                f"{part.where}: sample {place} is of class {label}, and labels.npy says {self.targets[row]}; "
                "convkit-litdata index writes it anew"
            )
        if isinstance(image, bytearray):
            return Picture(np.frombuffer(image, dtype=np.uint8))
        return Decoded(_pixels(image))


class ChunkImages(ImageFiles):
    """Answers requests from chunks: those of the batch, and each stream's next one, are fetched side by side."""

    def __init__(self, samples: Samples, view: View, seed: int, order: ChunkOrder, rows: NDArray[np.int64]) -> None:
        # It takes pictures from a cache, where it has one: from anything that has pictures.
        super().__init__(samples, view, seed, cast(DecodedCache, samples))
        self.samples, self.order = samples, order
        remote = any(part.copy for part in samples.parts)
        self._part = samples.place(int(rows[0]))[0] if remote else None
        self._threads: ThreadPoolExecutor | None = None
        self._asked: dict[int, Future[Path]] = {}
        self._following: tuple[int, dict[int, int]] = (-1, {})

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_threads": None, "_asked": {}}

    def __getitem__(self, request: Request) -> Fetched:
        if self._part is not None:
            self._fetch(self._part, request)
        return super().__getitem__(request)

    def _fetch(self, part: Chunks, request: Request) -> None:
        if self._following[0] != request.epoch:
            self._following, self._asked = (request.epoch, self.order.following(request.epoch)), {}
        self._threads = self._threads or ThreadPoolExecutor(FETCHING)
        first = part.numbers()[request.rows - self.samples.starts[self.samples.parts.index(part)]]
        needed = np.unique(first).tolist()
        ahead = [self._following[1][chunk] for chunk in needed if chunk in self._following[1]]
        for chunk in [*needed, *ahead]:
            if chunk not in self._asked:
                self._asked[chunk] = self._threads.submit(part.path, chunk)
        for chunk in needed:
            self._asked[chunk].result()


def _pixels(image: Any) -> torch.Tensor:
    """3×H×W uint8 of what litdata's own image formats give: C×H×W tensors or arrays, pictures of PIL's."""
    if hasattr(image, "convert"):
        return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)
    pixels = torch.as_tensor(image)
    if pixels.dtype != torch.uint8 or pixels.ndim != 3 or len(pixels) not in (1, 3):
        raise Unreadable(f"it is no image: {'×'.join(map(str, pixels.shape))} of {pixels.dtype}")
    return pixels.expand(3, -1, -1)
