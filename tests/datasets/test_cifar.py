"""CIFAR-10 and CIFAR-100 as torchvision lays them out, in small copies made here."""

import hashlib
import pickle
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from convkit.datasets.arrays import Arrays
from convkit.datasets.cifar import Cifar10, Cifar100
from convkit.datasets.statistics import measure
from convkit.errors import UserError

Listing = Callable[[Path], list[tuple[str, int]]]
SOURCES = [Cifar10, Cifar100]
PER_FILE = 20


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def write(path: Path, contents: dict[str, object]) -> str:
    path.write_bytes(pickle.dumps(contents))
    return md5(path)


@pytest.fixture(params=SOURCES, ids=lambda source: source.__name__)
def cifar(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[type[Cifar10], Path]:
    """A root with a small copy, whose checksums torchvision is made to expect."""
    data: type[Cifar10] = request.param
    source, labels = data.source, "labels" if data is Cifar10 else "fine_labels"
    root = tmp_path / "root"
    folder = root / source.base_folder
    folder.mkdir(parents=True)
    random = np.random.RandomState(0)
    for attribute in ("train_list", "test_list"):
        checked = []
        for name, _ in getattr(source, attribute):
            pixels = random.randint(0, 256, (PER_FILE, 3072), dtype=np.uint8)
            targets = [index % data.num_classes for index in range(PER_FILE)]
            checked.append([name, write(folder / name, {"data": pixels, labels: targets})])
        # CIFAR-100's class inherits from CIFAR-10's: each gets its own.
        monkeypatch.setattr(source, attribute, checked)
    meta = {**source.meta, "md5": write(folder / source.meta["filename"], {source.meta["key"]: data.class_names})}
    monkeypatch.setattr(source, "meta", meta)
    with tarfile.open(root / source.filename, "w:gz") as archive:
        archive.add(folder, source.base_folder)
    monkeypatch.setattr(source, "tgz_md5", md5(root / source.filename))
    return data, root


def check(data: Cifar10) -> None:
    """The images are those that the files hold, channel by channel and row by row."""
    data.prepare_data()
    train, test = data.load()
    count = PER_FILE * len(data.source.train_list)
    random = np.random.RandomState(0)
    pixels = np.concatenate([random.randint(0, 256, (PER_FILE, 3072), dtype=np.uint8) for _ in data.source.train_list])
    assert np.array_equal(train.images.numpy(), pixels.reshape(count, 3, 32, 32))
    assert (len(test.images), test.images.dtype, test.targets.dtype) == (PER_FILE, torch.uint8, torch.int64)
    assert test.targets.tolist() == [index % data.num_classes for index in range(PER_FILE)]


def test_unpacked(cifar: tuple[type[Cifar10], Path], no_network: None, listing: Listing) -> None:
    data, root = cifar
    before = listing(root)
    check(data(root=str(root)))
    assert listing(root) == before


def test_packed(cifar: tuple[type[Cifar10], Path], no_network: None) -> None:
    data, root = cifar
    shutil.rmtree(root / data.source.base_folder)
    check(data(root=str(root)))
    assert (root / data.source.base_folder).is_dir()


def test_packed_in_a_read_only_root(
    cifar: tuple[type[Cifar10], Path], locked: Callable[[Path], None], listing: Listing
) -> None:
    data, root = cifar
    shutil.rmtree(root / data.source.base_folder)
    before = listing(root)
    locked(root)
    check(data(root=str(root)))
    assert listing(root) == before


def test_absent_and_no_network(cifar: tuple[type[Cifar10], Path], tmp_path: Path, no_network: None) -> None:
    data, _ = cifar
    root, source = str(tmp_path / "nowhere"), data.source
    with pytest.raises(UserError) as raised:
        data(root=root).prepare_data()
    said = str(raised.value)
    assert said.startswith(
        f"{source.__name__} is not under '{root}' ({source.base_folder}/ or {source.filename}) and could not be "
    )
    assert said.endswith("set --data.root to the folder that holds it")
    assert "\n" not in said


@pytest.mark.parametrize("damage", ["file", "folder"])
def test_damaged(cifar: tuple[type[Cifar10], Path], damage: str, no_network: None) -> None:
    data, root = cifar
    folder = root / data.source.base_folder
    if damage == "file":
        (folder / data.source.train_list[0][0]).write_bytes(b"<html>")
    else:
        shutil.rmtree(folder)
        folder.mkdir()
    made = data(root=str(root))
    made.prepare_data()
    with pytest.raises(UserError) as raised:
        made.load()
    name = data.source.train_list[0][0] if damage == "file" else data.source.test_list[0][0]
    assert str(raised.value).startswith(
        f"{data.source.__name__} under '{root}' cannot be read: {name} is missing or is not the published one; "
    )
    assert "\n" not in str(raised.value)


class Harm:
    """What a pickle may hold: a call of any function, here of one that would leave a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.path,)


def test_a_file_that_would_run_something_is_refused(
    cifar: tuple[type[Cifar10], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whoever can put a file there may have changed what is expected of it, too."""
    data, root = cifar
    name = data.source.test_list[0][0]
    entry = {"data": Harm(tmp_path / "harm"), "labels": [0]}
    monkeypatch.setattr(data.source, "test_list", [[name, write(root / data.source.base_folder / name, entry)]])
    with pytest.raises(UserError, match=r"cannot be read: it names pathlib\.[\w.]+; delete it to have"):
        data(root=str(root)).load()
    assert not (tmp_path / "harm").exists()


def test_against_torchvisions_reader(cifar: tuple[type[Cifar10], Path]) -> None:
    data, root = cifar
    for split, is_train in zip(data(root=str(root)).load(), (True, False), strict=True):
        theirs = data.source(root, train=is_train)
        assert np.array_equal(split.images.permute(0, 2, 3, 1).numpy(), theirs.data)
        assert split.targets.tolist() == theirs.targets


def test_a_damaged_archive_in_a_read_only_root(
    cifar: tuple[type[Cifar10], Path], locked: Callable[[Path], None]
) -> None:
    data, root = cifar
    shutil.rmtree(root / data.source.base_folder)
    (root / data.source.filename).write_bytes(b"<html>")
    locked(root)
    with pytest.raises(UserError) as raised:
        data(root=str(root)).load()
    assert str(raised.value) == (
        f"{root / data.source.filename} is damaged: its MD5 is not the published one; replace it"
    )
    assert (root / data.source.filename).read_bytes() == b"<html>"


@pytest.mark.parametrize("data", SOURCES)
def test_class_names(data: type[Cifar10]) -> None:
    assert len(set(data.class_names)) == data.num_classes
    assert data.class_names == sorted(data.class_names)  # as both are published


def test_published_mean_and_deviation_of_cifar10(shared: Callable[[str], Path]) -> None:
    arrays = Arrays(str(shared("data/cifar10.npz")))
    assert arrays.class_names == Cifar10.class_names
    train, test = arrays.load()
    assert (train.images.shape, test.images.shape) == ((50_000, 3, 32, 32), (10_000, 3, 32, 32))
    mean, std, _ = measure(train.images)
    assert tuple(round(value, 4) for value in mean) == Cifar10.mean
    assert tuple(round(value, 4) for value in std) == Cifar10.std
