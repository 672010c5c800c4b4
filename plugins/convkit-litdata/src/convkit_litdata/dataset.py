"""The data set: convkit's photographs, read from chunks."""

import io
import json
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convkit.datasets.augment import Augment
from convkit.datasets.crops import View
from convkit.datasets.decoded_cache import parse_size
from convkit.datasets.divided import spread
from convkit.datasets.file_batches import Finish
from convkit.datasets.file_statistics import SAMPLE, measured
from convkit.datasets.photographs import Photographs
from convkit.datasets.statistics import Statistics
from convkit_litdata.batches import ChunkBatches
from convkit_litdata.chunks import Chunks
from convkit_litdata.local_copy import fetched_text, is_remote
from convkit_litdata.mistakes import ReadError
from convkit_litdata.order import ChunkOrder
from convkit_litdata.pictures import ChunkImages, Samples

DESCRIPTION, LABELS = "convkit.json", "labels.npy"


class LitData(Photographs):
    """Images in litdata's format, as ``convkit-litdata convert`` writes them: training, validation and test parts.

    Where there is no validation part, ``val_fraction`` of the training images validates; where there is no test part,
    the validation images test. Shuffled chunk by chunk, each image once an epoch; a fit that was ended in mid-epoch
    goes on with the very next batch. Chunks in object storage are fetched ahead of the batches that need them.

    Args:
        root: a folder, or its address: s3://, gs://, azure://, r2://.
        mix: chunks whose images are mixed at any time. A multiple of the number of ranks, of which ``batch_size`` is
            one in turn, has each rank read its own share of the chunks.
        disk: space for copies of what lies in object storage, in ``cache_dir``.
    """

    def __init__(self, root: str, mix: int = 16, disk: str = "100GB", **options: Any) -> None:
        super().__init__(**options)
        if self.cache_limit:
            raise ValueError("data.cache is for folders of photographs; leave it out")
        if mix < 1:
            raise ValueError(f"data.mix is a number of chunks and cannot be {mix}")
        self.root, self.mix, self.disk = root.rstrip("/"), mix, parse_size(disk)
        if not is_remote(root):
            self.root = str(Path(root).expanduser())
        described = _described(self.root)
        self.parts: dict[str, str] = described["parts"]
        self.class_names = list(described["class_names"])
        self.num_classes = len(self.class_names)
        self._batches: list[ChunkBatches] = []

    def load(self) -> tuple[Samples, dict[str, NDArray[np.int64]]]:
        chunks, labels, rows = [], [], {}
        first = 0
        for name, folder in self.parts.items():
            where = self.root if folder == "." else f"{self.root}/{folder}"
            part = Chunks(where, self.cache_dir, self.disk)
            of_part = self._labels(where, len(part))
            chunks.append(part)
            labels.append(of_part)
            rows[name] = np.arange(first, first := first + len(part))
        return Samples(self.root, chunks, np.concatenate(labels)), rows

    def _labels(self, where: str, count: int) -> NDArray[np.int64]:
        again = "convert it again, or convkit-litdata index writes it anew"
        try:
            labels: NDArray[np.int64] = np.load(io.BytesIO(_read(where, LABELS))).astype(np.int64)
        except (OSError, ValueError, EOFError) as error:
            cause = getattr(error, "strerror", None) or "it is no array of whole numbers"
            raise ReadError(f"{where}/{LABELS} cannot be read: {cause}; {again}") from error
        if labels.shape != (count,):
            raise ReadError(f"{where} has {count} samples, but {labels.size} labels; {again}")
        if count and not 0 <= labels.min() <= labels.max() < self.num_classes:
            raise ReadError(
                f"{where}/{LABELS} goes from {labels.min()} to {labels.max()} with {self.num_classes} classes; {again}"
            )
        return labels

    @cached_property
    def statistics(self) -> Statistics:
        """Mean, deviation and average of the first images to train on, which conversion has put in random order."""
        rows = self.splits["train"][:SAMPLE]
        return measured(self._images(self.view, rows, None), rows, self.cache_dir, self.workers, self._left_out)

    def loader(
        self, split: str, *, train: bool = False, few: int | None = None, view: View | None = None
    ) -> ChunkBatches:
        rows = self.splits[split][spread(len(self.splits[split]), few)]
        plain = self.order(split, len(rows), shuffle=train)
        order = ChunkOrder(
            self._numbers(rows),
            plain.batch_size,
            seed=plain.seed,
            shuffle=train,
            rank=plain.rank,
            ranks=plain.ranks,
            mix=self.mix,
        )
        images = self._images(view or (self.train_view if train else self.view), rows, order)
        finish = Finish(self.mean, self.std, self.augment if train else Augment(), self.device)
        self._batches.append(ChunkBatches(images, rows, order, finish, self.workers, self._left_out))
        return self._batches[-1]

    def pick(self, split: str, positions: Tensor) -> Tensor:
        rows = self.splits[split][positions.numpy()]
        order = ChunkOrder(self._numbers(rows), len(rows), seed=0, shuffle=False)
        finish = Finish(self.mean, self.std, Augment(), torch.device("cpu"))
        return torch.cat(
            [images for images, _ in ChunkBatches(self._images(self.view, rows, order), rows, order, finish, 0, None)]
        )

    def teardown(self, stage: str | None = None) -> None:
        super().teardown(stage)
        for batches in self._batches:
            batches.close()
        self._batches = []

    def _images(self, view: View, rows: NDArray[np.int64], order: ChunkOrder | None) -> ChunkImages:
        assert isinstance(self.files, Samples)
        order = order or ChunkOrder(self._numbers(rows), len(rows), seed=0, shuffle=False)
        return ChunkImages(self.files, view, self.seed, order, rows)

    def _numbers(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The chunk of each of these rows, which are of one part."""
        assert isinstance(self.files, Samples)
        part, _ = self.files.place(int(rows[0]))
        numbers: NDArray[np.int64] = part.numbers()[rows - self.files.starts[self.files.parts.index(part)]]
        return numbers

    @property
    def _left_out(self) -> dict[str, str] | None:
        return self.skipped if self.on_error == "skip" else None


def _read(where: str, name: str) -> bytes:
    return fetched_text(where, name) if is_remote(where) else (Path(where) / name).read_bytes()


def _described(root: str) -> dict[str, Any]:
    """What the data set says of itself.

    Raises:
        UserError: nothing, or nothing that makes sense.
    """
    way = (
        "make it from a folder of images with convkit-litdata convert, "
        "or from a data set of litdata's with convkit-litdata index"
    )
    try:
        described: dict[str, Any] = json.loads(_read(root, DESCRIPTION))
    except OSError as error:
        raise ReadError(f"{root} has no {DESCRIPTION}: {way}") from error
    except ValueError as error:
        raise ReadError(f"{root}/{DESCRIPTION} is damaged: {way}") from error
    if not isinstance(described, dict) or not described.get("parts") or not described.get("class_names"):
        raise ReadError(f"{root}/{DESCRIPTION} names no parts or no classes: {way}")
    return described
