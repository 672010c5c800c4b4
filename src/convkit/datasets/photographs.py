"""Base of the data sets that are folders of photographs: options, splits, loaders."""

import os
from abc import abstractmethod
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from convkit.datasets.augment import Augment
from convkit.datasets.class_folders import Rows, completed
from convkit.datasets.crops import CentreCrop, RandomResizedCrop, TenCrops, View
from convkit.datasets.decoded_cache import DecodedCache, cache_key, open_cache, parse_size
from convkit.datasets.divided import DividedData, spread
from convkit.datasets.fetch import ImageFiles, ShrunkFiles, answers, in_chunks, processes, worker_loader
from convkit.datasets.file_batches import FileBatches, Finish, account
from convkit.datasets.file_statistics import measured
from convkit.datasets.files import Files
from convkit.datasets.order import Order
from convkit.datasets.statistics import Statistics, known


class Photographs(DividedData):
    """Base of the data sets in folders; a subclass sets the attributes of ``ImageData`` and ``load``.

    Training sees a random part of each image, evaluation the middle (``crops``). What is drawn for an image depends on
    seed, epoch and image alone.

    Args:
        size: side of the square that the network gets, in pixels.
        resize: shorter side before the middle is taken, in evaluation; by default 8/7 of ``size``, 256 for 224.
        scale: least and greatest share of its area that is seen of a training image.
        ratio: least and greatest ratio of the part's width to its height.
        flip: mirror a training image with probability one half.
        ten_crop: test and predict on centre, corners and their mirror images, the probabilities averaged (AlexNet).
        workers: processes that decode, on each rank; by default one a core, 8 at most. 0 decodes in the fit's own.
        on_error: ``stop`` ends the fit at a file that cannot be read, ``skip`` leaves it out and lists it in the run.
        cache: disk space for decoded images, such as 20GB, their shorter side reduced to ``resize``; none by default.
        cache_dir: where they and measured means are kept; by default ``$XDG_CACHE_HOME/convkit``.
        mean: per channel, of values from 0 to 1; by default the published one, or measured on the training images.
        std: standard deviation per channel, likewise.
    """

    def __init__(
        self,
        size: int = 224,
        resize: int | None = None,
        scale: list[float] | None = None,
        ratio: list[float] | None = None,
        flip: bool = True,
        ten_crop: bool = False,
        workers: int | None = None,
        on_error: Literal["stop", "skip"] = "stop",
        cache: str | None = None,
        cache_dir: str | None = None,
        mean: list[float] | None = None,
        std: list[float] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.on_error = on_error
        self.train_view: View = RandomResizedCrop(size, scale or (0.08, 1.0), ratio or (3 / 4, 4 / 3), flip)
        self.resize = round(size * 8 / 7) if resize is None else resize
        if self.resize < size:
            raise ValueError(f"data.resize is at least data.size, {size} pixels, which are cut out; not {self.resize}")
        self.view: View = CentreCrop(size, self.resize)
        self.test_view: View = TenCrops(size, self.resize) if ten_crop else self.view
        self.image_shape = (3, size, size)
        self.workers = processes(workers)
        self.cache_limit = parse_size(cache) if cache else 0
        default = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "convkit"
        self.cache_dir = Path(cache_dir or default).expanduser()
        for name, given in known(mean, std).items():
            setattr(self, name, given)
        self.skipped: dict[str, str] = {}  # path of each image that was left out, and why
        self.splits: dict[str, Rows] = {}
        self._cache: DecodedCache | None = None
        self._loaders: list[FileBatches] = []

    @abstractmethod
    def load(self) -> tuple[Files, dict[str, Rows]]:
        """All image files, and which rows of them are ``train``, ``val`` and ``test``; the last two where there are."""

    # -- set-up --------------------------------------------------------------------------------------------------

    def prepare_data(self) -> None:
        self.setup()  # on one rank of a machine, so that the others find cache and mean

    def setup(self, stage: str | None = None) -> None:
        if self.splits:
            return
        self.files, rows = self.load()
        self.splits = completed(self.files, rows, self)
        if self.cache_limit:
            self._cache = self._opened_cache()
        for name in ("mean", "std"):
            if not hasattr(self, name):
                setattr(self, name, getattr(self.statistics, name))

    @cached_property
    def statistics(self) -> Statistics:
        """Mean, deviation and average of the images to train on, as evaluation would see them."""
        images = ImageFiles(self.files, self.view, self.seed, self._cache)
        return measured(images, self.splits["train"], self.cache_dir, self.workers, self._skipping)

    @property
    def average_image(self) -> Tensor:
        """3×H×W float from 0 to 1: the mean of the images to train on."""
        return self.statistics.average_image

    def labels(self, split: str) -> Tensor:
        return torch.from_numpy(self.files.targets[self.splits[split]])

    def _opened_cache(self) -> DecodedCache:
        everything = np.arange(len(self.files))

        def images() -> Iterator[tuple[int, Tensor]]:
            print(f"decoding {len(self.files):,} images into {self.cache_dir}, once", flush=True)
            shrunk_files = ShrunkFiles(self.files, self.resize)
            for shrunk in answers(worker_loader(shrunk_files, in_chunks(everything), self.workers)):
                account(shrunk, self.files, self._skipping)
                yield from shrunk.images()

        place = self.cache_dir / f"images-{cache_key(self.files.stamp(everything), self.resize)}"
        return open_cache(place, self.resize, len(self.files), self.cache_limit, images)

    @property
    def _skipping(self) -> dict[str, str] | None:
        return self.skipped if self.on_error == "skip" else None

    # -- loaders -------------------------------------------------------------------------------------------------

    def loader(
        self, split: str, *, train: bool = False, few: int | None = None, view: View | None = None
    ) -> FileBatches:
        rows = self.splits[split][spread(len(self.splits[split]), few)]
        batches = FileBatches(
            ImageFiles(self.files, view or (self.train_view if train else self.view), self.seed, self._cache),
            rows,
            self.order(split, len(rows), shuffle=train),
            Finish(self.mean, self.std, self.augment if train else Augment(), self.device),
            self.workers,
            self._skipping,
        )
        self._loaders.append(batches)
        return batches

    def pick(self, split: str, positions: Tensor) -> Tensor:
        chosen, count = self.splits[split][positions.numpy()], min(self.batch_size, len(positions))
        batches = FileBatches(
            ImageFiles(self.files, self.view, self.seed, self._cache),
            chosen,
            Order(len(chosen), count, seed=0, shuffle=False),
            Finish(self.mean, self.std, Augment(), torch.device("cpu")),
            0 if len(positions) < 32 else self.workers,  # for few, to start processes takes longer
            None,
        )
        return torch.cat([images for images, _ in batches])

    def teardown(self, stage: str | None = None) -> None:
        for batches in self._loaders:
            batches.close()
        self._loaders = []

    def on_exception(self, exception: BaseException) -> None:
        self.teardown()  # Lightning leaves that out

    def test_dataloader(self) -> FileBatches:
        return self.loader("test", view=self.test_view)

    def predict_dataloader(self) -> FileBatches:
        batches = self.loader("test", view=self.test_view)
        batches.skipped = None  # its results are told apart by their place
        return batches
