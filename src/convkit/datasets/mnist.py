"""MNIST (LeCun et al. 1998) and Fashion-MNIST (Xiao, Rasul, Vollgraf 2017): 60,000 + 10,000 grey images of 28×28."""

import gzip
import zlib
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torchvision import datasets

from convkit.datasets.batches import Split
from convkit.datasets.download import fetched
from convkit.datasets.in_memory import InMemoryData
from convkit.errors import UserError

_FILES = {
    True: ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    False: ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


class Mnist(InMemoryData):
    """Handwritten digits, 28×28.

    Args:
        root: folder that holds ``MNIST/raw``, as torchvision lays it out, compressed or not; downloaded where absent.
    """

    source: ClassVar[Any] = datasets.MNIST
    num_classes = 10
    image_shape = (1, 28, 28)
    class_names: list[str] = [str(digit) for digit in range(10)]
    mean = (0.1307,)
    std = (0.3081,)

    def __init__(self, root: str = "data", **options: Any) -> None:
        super().__init__(**options)
        self.root = root

    @property
    def folder(self) -> Path:
        return Path(self.root).expanduser() / str(self.source.__name__) / "raw"

    def prepare_data(self) -> None:
        if not all(_present(self.folder / name) for names in _FILES.values() for name in names):
            fetched(self.source, self.root, f"{self.source.__name__}/raw/*.gz")

    def load(self) -> tuple[Split, Split]:
        train, test = (Split(*(_read(self.folder / name) for name in _FILES[part])) for part in (True, False))
        return (
            Split(train.images.unsqueeze(1), train.targets.to(torch.int64)),
            Split(test.images.unsqueeze(1), test.targets.to(torch.int64)),
        )


class FashionMnist(Mnist):
    """Zalando's articles, 28×28: MNIST's form, harder.

    Args:
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
