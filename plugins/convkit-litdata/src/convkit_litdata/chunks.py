"""One data set in litdata's format, image by image: any of them at any time."""

import json
import tempfile
from collections import OrderedDict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from convkit_litdata.local_copy import LocalCopy, copy_of, fetched_text, is_remote
from convkit_litdata.mistakes import ReadError, SampleError

OPEN = 64  # chunks mapped into memory at once, in each process
INDEX = "index.json"
AGAIN = "copy or convert it again"


class Sample(NamedTuple):
    """``image`` as it was written: a file's content as a ``bytearray``, an array or a picture of PIL's."""

    image: Any
    label: int


class Chunks:
    """Samples that are dicts of ``image`` and ``label``, or pairs of them.

    Args:
        where: a folder, or its address in object storage.
        cache_dir: where copies of what lies in object storage go.
        limit: bytes of them.

    Raises:
        UserError: there is no such data set, its index is damaged, or it is compressed.
    """

    def __init__(self, where: str, cache_dir: Path, limit: int) -> None:
        self.where = where.rstrip("/")
        self.copy: LocalCopy | None = None
        if is_remote(where):
            content = fetched_text(where, INDEX)
            self.copy = copy_of(where, content, cache_dir, limit)
        else:
            try:
                content = (Path(where) / INDEX).read_bytes()
            except OSError as error:
                raise ReadError(f"{where} is no data set of litdata's: {error.strerror or error}: {INDEX}") from error
        self.index = content
        try:
            described = json.loads(content)
            packed = described["config"].get("compression") or described["config"].get("encryption")
            self.names = [str(chunk["filename"]) for chunk in described["chunks"]]
            self.counts = np.array([chunk["chunk_size"] for chunk in described["chunks"]], dtype=np.int64)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ReadError(f"{self.where}/{INDEX} is damaged, or not of litdata's; {AGAIN}") from error
        if packed:
            raise ReadError(f"{where} is compressed or encrypted; images are compressed already: write it without")
        self._ends = np.cumsum(self.counts)
        self._open: OrderedDict[int, tuple[NDArray[np.uint8], NDArray[np.uint32]]] = OrderedDict()
        self._reader: Any = None
        self._deserializer()  # workers are forked off with litdata imported, not each for itself

    def __len__(self) -> int:
        return int(self.counts.sum())

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": OrderedDict(), "_reader": None}

    def numbers(self) -> NDArray[np.int64]:
        """N: the number of the chunk that each sample lies in."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    def path(self, chunk: int) -> Path:
        """A chunk's file, fetched where it is not here."""
        name = self.names[chunk]
        return self.copy.path(name) if self.copy else Path(self.where) / name

    def sample(self, index: int) -> Sample:
        """One sample, in litdata's own reading of its bytes.

        Raises:
            UserError: it is no pair of an image and a label, or its chunk is missing or damaged.
        """
        chunk = int(np.searchsorted(self._ends, index, side="right"))
        content, offsets = self._mapped(chunk)
        place = index - int(self._ends[chunk] - self.counts[chunk])
        raw = bytearray(content[offsets[place] : offsets[place + 1]])  # torch wants what it may write to
        try:
            found = self._deserializer().load_item_from_bytes(raw, chunk)
        except Exception as error:  # of whatever made of them: struct, pickle, PIL
            raise SampleError(f"its bytes in {self.path(chunk)} are damaged") from error
        pair = [found.get("image"), found.get("label")] if isinstance(found, dict) else found
        if not isinstance(pair, list | tuple) or len(pair) != 2 or pair[0] is None or pair[1] is None:
            raise ReadError(f"{self.where}: sample {index} is no dict of image and label, nor a pair of them")
        return Sample(pair[0], int(pair[1]))

    def _mapped(self, chunk: int) -> tuple[NDArray[np.uint8], NDArray[np.uint32]]:
        """A chunk's bytes, and where each of its samples begins, the end of the last one besides."""
        if chunk in self._open:
            self._open.move_to_end(chunk)
            return self._open[chunk]
        content = self._content(chunk)
        # litdata's layout: how many, then one offset more than that, all 32 bits; then the samples.
        count = int(self.counts[chunk])
        if len(content) < 4 * (count + 2) or int(content[:4].view(np.uint32)[0]) != count:
            raise ReadError(f"{self.path(chunk)} is not what {INDEX} says; {self._anew}")
        offsets = np.array(content[4 : 4 * (count + 2)]).view(np.uint32)
        if offsets[-1] != len(content) or (offsets[1:] < offsets[:-1]).any():
            raise ReadError(
                f"{self.path(chunk)} is not whole: it has {len(content):,} bytes and says {int(offsets[-1]):,}; "
                f"{self._anew}"
            )
        self._open[chunk] = content, offsets
        if len(self._open) > OPEN:
            self._open.popitem(last=False)
        return content, offsets

    def _content(self, chunk: int) -> NDArray[np.uint8]:
        while True:
            try:
                content: NDArray[np.uint8] = np.memmap(self.path(chunk), dtype=np.uint8, mode="r")
                return content
            except FileNotFoundError:  # where it is a copy: that has made room for others just now
                if self.copy is None:
                    raise ReadError(f"{self.where} lacks {self.names[chunk]}; {AGAIN}") from None
            except ValueError:  # of mmap: there is nothing to map
                raise ReadError(f"{self.path(chunk)} is empty; {self._anew}") from None
            except OSError as error:
                raise ReadError(
                    f"{self.path(chunk)} cannot be read: {error.strerror or error}; {self._anew}"
                ) from error

    @property
    def _anew(self) -> str:
        """What to do about a damaged chunk."""
        return f"remove it to have it fetched again, or see to {self.where}" if self.copy else AGAIN

    def _deserializer(self) -> Any:
        if self._reader is None:
            from litdata.streaming.config import ChunksConfig  # type: ignore[import-untyped]
            from litdata.streaming.item_loader import PyTreeLoader  # type: ignore[import-untyped]
            from litdata.streaming.serializers import _get_serializers  # type: ignore[import-untyped]

            loader = PyTreeLoader()
            with tempfile.TemporaryDirectory() as folder:  # it wants the index as a file
                (Path(folder) / INDEX).write_bytes(self.index)
                ChunksConfig(folder, _get_serializers(None), None, loader)
            self._reader = loader
        return self._reader
