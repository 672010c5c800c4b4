"""MNIST and Fashion-MNIST from their own files, compressed or not, against torchvision's reader."""

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision import datasets

from convkit.datasets.mnist import FashionMnist, Mnist
from convkit.datasets.statistics import measure
from convkit.errors import UserError

Find = Callable[[str], Path]
NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def idx(values: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{values.ndim}i", 0, 0, 8, values.ndim, *values.shape) + values.tobytes()


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A small MNIST, half of it compressed, under ``tmp_path``."""
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    random = np.random.RandomState(0)
    for part, count in (("train", 40), ("t10k", 20)):
        pixels = random.randint(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = np.arange(count, dtype=np.uint8) % 10
        (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(pixels)))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(idx(labels))
    return folder


def test_reads_compressed_and_plain_files_and_writes_nothing(
    raw: Path, tmp_path: Path, no_network: None, listing: Callable[[Path], list[tuple[str, int]]]
) -> None:
    before = listing(tmp_path)
    data = Mnist(root=str(tmp_path), val_fraction=0)
    data.prepare_data()
    data.setup()
    train, test = data.splits["train"], data.splits["test"]
    pixels = np.random.RandomState(0).randint(0, 256, (40, 28, 28), dtype=np.uint8)
    assert np.array_equal(train.images[:, 0].numpy(), pixels)
    assert test.targets.tolist() == [index % 10 for index in range(20)]
    assert train.targets.dtype == torch.int64
    assert listing(tmp_path) == before


@pytest.mark.parametrize(("source", "name"), [(Mnist, "MNIST"), (FashionMnist, "FashionMNIST")])
def test_published_mean_and_deviation(source: type[Mnist], name: str, shared: Find) -> None:
    data = source(root=str(shared(f"data/{name}").parent))
    data.prepare_data()  # as they are: read-only and compressed
    train, test = data.load()
    assert (train.images.shape, test.images.shape) == ((60_000, 1, 28, 28), (10_000, 1, 28, 28))
    assert torch.bincount(test.targets, minlength=10).numel() == data.num_classes == len(data.class_names)
    mean, std, _ = measure(train.images)
    assert (round(mean[0], 4), round(std[0], 4)) == (data.mean[0], data.std[0])


def test_against_torchvisions_reader(shared: Find, tmp_path: Path) -> None:
    source = shared("data/FashionMNIST/raw")
    copy = tmp_path / "FashionMNIST" / "raw"
    copy.mkdir(parents=True)
    for file in source.glob("*.gz"):
        (copy / file.name).symlink_to(file)
    theirs = datasets.FashionMNIST(tmp_path, train=False, download=True)  # unpacks beside the links
    _, test = FashionMnist(root=str(source.parents[1])).load()
    assert torch.equal(test.images[:10, 0], theirs.data[:10])
    assert torch.equal(test.targets, theirs.targets)
    assert FashionMnist.class_names == theirs.classes
    assert all((copy / name).is_file() for name in NAMES)
    unpacked, _ = FashionMnist(root=str(tmp_path)).load()
    assert torch.equal(unpacked.images[:10, 0], datasets.FashionMNIST(tmp_path).data[:10])


def test_absent_and_no_network(tmp_path: Path, no_network: None) -> None:
    root = str(tmp_path / "nowhere")
    with pytest.raises(UserError) as raised:
        FashionMnist(root=root).prepare_data()
    said = str(raised.value)
    assert said.startswith(f"FashionMNIST is not under '{root}' (FashionMNIST/raw/*.gz) and could not be downloaded")
    assert said.endswith("set --data.root to the folder that holds it")
    assert "\n" not in said


def cut(contents: bytes) -> bytes:
    return contents[: len(contents) // 2]


def spoilt(contents: bytes) -> bytes:
    """Broken behind gzip's header of ten bytes."""
    return contents[:10] + b"\xff" * 400 + contents[410:]


@pytest.mark.parametrize(
    ("name", "damage", "said"),
    [
        ("train-images-idx3-ubyte.gz", cut, "cannot be read (Compressed file ended"),
        ("train-images-idx3-ubyte.gz", spoilt, "cannot be read (Error -3"),
        ("train-images-idx3-ubyte.gz", lambda _: b"<html>", "cannot be read (Not a gzipped file"),
        ("t10k-labels-idx1-ubyte", cut, "cannot be read (its length is not that of 20 bytes)"),
        ("t10k-labels-idx1-ubyte", lambda whole: whole + b"1", "cannot be read (its length is not that of 20 bytes)"),
        ("t10k-labels-idx1-ubyte", lambda _: b"", "is not an IDX file of bytes"),
        ("t10k-labels-idx1-ubyte", lambda _: b"\0\0\x08", "is not an IDX file of bytes"),
        ("t10k-labels-idx1-ubyte", lambda _: b"<html>", "is not an IDX file of bytes"),
    ],
    ids=["cut", "spoilt", "page.gz", "plain-cut", "longer", "empty", "header", "page"],
)
def test_damaged_files(raw: Path, name: str, damage: Callable[[bytes], bytes], said: str) -> None:
    path = raw / name
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError) as raised:
        Mnist(root=str(raw.parents[1])).load()
    assert str(raised.value).startswith(f"{path} {said}")
    assert str(raised.value).endswith("delete it to have it downloaded again")


def test_a_file_that_went_missing_is_named(raw: Path) -> None:
    (raw / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(UserError, match=r"there is no .*/t10k-labels-idx1-ubyte nor t10k-labels-idx1-ubyte\.gz; "):
        Mnist(root=str(raw.parents[1])).load()


def test_labels_of_another_file_are_noticed(raw: Path) -> None:
    (raw / "train-labels-idx1-ubyte").write_bytes((raw / "t10k-labels-idx1-ubyte").read_bytes())
    with pytest.raises(UserError, match="Mnist has 40 training images, but 20 labels"):
        Mnist(root=str(raw.parents[1])).setup()
