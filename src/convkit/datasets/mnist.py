"""MNIST (LeCun et al. 1998) and Fashion-MNIST (Xiao, Rasul, Vollgraf 2017): 60,000 + 10,000 grey images of 28×28."""

import gzip
import zlib
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the field's own name
from torchvision import datasets

from convkit.datasets.batches import Split
from convkit.datasets.download import Wanted, fetched
from convkit.datasets.in_memory import InMemoryData
from convkit.errors import UserError

_FILES = {
    True: ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    False: ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
SIDE = 28  # of an image in the files


class Mnist(InMemoryData):
    """Handwritten digits, 28×28.

    Args:
        size: side of an image; 32 puts it into the middle of a black field, as LeNet-5 was drawn for (LeCun et al.
            1998, §III.A).
        root: folder that holds ``MNIST/raw``, as torchvision lays it out, compressed or not; downloaded where absent.
    """

    source: ClassVar[Any] = datasets.MNIST
    num_classes = 10
    class_names: list[str] = [str(digit) for digit in range(10)]
    mean = (0.1307,)
    std = (0.3081,)

    def __init__(self, root: str = "data", size: int = SIDE, **options: Any) -> None:
        super().__init__(**options)
        if size < SIDE or size % 2:
            raise ValueError(f"{type(self).__name__}: size is an even number from {SIDE} on, not {size}")
        self.root = root
        self.image_shape = (1, size, size)

    @property
    def folder(self) -> Path:
        return Path(self.root).expanduser() / self._below

    @property
    def _below(self) -> str:
        return f"{self.source.__name__}/raw"

    def prepare_data(self) -> None:
        missing = [name for names in _FILES.values() for name in names if not _present(self.folder / name)]
        if missing:
            archives = {f"{self._below}/{name}": md5 for name, md5 in self.source.resources}
            places = [f"{self._below}/{name}" for name in missing]
            wanted = Wanted(self.source, places, archives, f"{self._below}/*.gz", {"train": False})
            fetched(wanted, Path(self.root).expanduser())

    def load(self) -> tuple[Split, Split]:
        border = (self.image_shape[1] - SIDE) // 2
        parts = ([_read(self.folder / name) for name in _FILES[part]] for part in (True, False))
        train, test = (
            Split(F.pad(images, (border,) * 4).unsqueeze(1), targets.to(torch.int64)) for images, targets in parts
        )
        return train, test


class FashionMnist(Mnist):
    """Zalando's articles, 28×28: MNIST's form, harder.

    Args:
        size: side of an image; more than 28 puts it into the middle of a black field.
        root: folder that holds ``FashionMNIST/raw``, as torchvision lays it out, compressed or not; downloaded where
            absent.
    """

    source = datasets.FashionMNIST
    class_names: list[str] = list(datasets.FashionMNIST.classes)
    mean = (0.2860,)
    std = (0.3530,)


def _present(path: Path) -> Path | None:
    """The file itself, or its compressed form."""
    return next((form for form in (path, path.with_name(path.name + ".gz")) if form.is_file()), None)


def _read(path: Path) -> Tensor:
    """One IDX file of unsigned bytes, compressed or not (format: yann.lecun.com/exdb/mnist)."""
    found = _present(path)
    if found is None:
        raise UserError(f"there is no {path} nor {path.name}.gz; set --data.root to the folder above")
    try:
        with gzip.open(found) if found.suffix == ".gz" else found.open("rb") as file:
            header = file.read(4)
            if len(header) < 4 or header[:3] != b"\0\0\x08":
                raise UserError(f"{found} is not an IDX file of bytes; delete it to have it downloaded again")
            shape = np.frombuffer(file.read(4 * header[3]), dtype=">i4")
            values = np.empty(shape, dtype=np.uint8)
            rest = values.reshape(-1).data  # part by part into the memory that they stay in
            while rest and (read := file.readinto(rest[: 2**20])):
                rest = rest[read:]
            if rest or file.read(1):
                raise ValueError(f"its length is not that of {'×'.join(map(str, shape))} bytes")
        return torch.from_numpy(values)
    except (OSError, EOFError, ValueError, MemoryError, zlib.error) as error:
        raise UserError(f"{found} cannot be read ({error}); delete it to have it downloaded again") from error
