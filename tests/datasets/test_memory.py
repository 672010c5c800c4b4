"""What data sets take of memory: in memory that of the images and little more, in folders none that grows with them."""

import hashlib
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

IN_MEMORY = """
import gc
import json
import sys
from convkit.datasets import cifar
from convkit.datasets.arrays import Arrays
from convkit.datasets.augment import Augment

def peak():
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmHWM"))

def made(folder, name):
    if name == "Arrays":
        return Arrays(folder + "/it.npz", augment=Augment(4, True))
    data = getattr(cifar, name)(folder, augment=Augment(4, True))
    for attribute, files in json.load(open(f"{folder}/{name}.json")).items():
        setattr(data.source, attribute, files)
    return data

def gone_through(folder, name):
    data = made(folder, name)
    data.setup()
    for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader()):
        for _ in loader:
            pass
    assert data.average_image.shape == (3, 32, 32)
    return sum(split.images.nbytes for split in data.splits.values())

small, large, *names = sys.argv[1:]
for name in names:
    gone_through(small, name)  # what is loaded once
for name in names:
    gc.collect()
    open("/proc/self/clear_refs", "w").write("5")  # the peak is measured from here
    before = peak()
    held = gone_through(large, name)
    print(name, held, peak() - before)
"""
FOLDER = """
import sys
from convkit.datasets.image_folder import ImageFolder

def now():
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("RssAnon"))

def most(path):
    data = ImageFolder(path, size=64, workers=0, cache_dir=path + "-cache")
    data.setup()
    loaders = data.train_dataloader(), data.val_dataloader()
    return max(now() for loader in loaders for _ in loader), len(data.files)

most(sys.argv[1])  # what is loaded once
(few, small), (many, large) = map(most, sys.argv[1:])
print(large - small, many - few)
"""


def measured(code: str, *words: object) -> list[str]:
    """What a process prints that goes through small data sets and large ones, word by word."""
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("a process's memory is read as Linux tells it")
    done = subprocess.run([sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def pixels(count: int) -> np.ndarray:
    images = np.zeros((count, 32, 32, 3), np.uint8)
    images[:] = np.arange(32, dtype=np.uint8)[:, None]  # memory that is never written takes none
    return images


def arrays(folder: Path, count: int) -> None:
    images, targets, tested = pixels(count), np.arange(count) % 10, count // 5
    np.savez(folder / "it.npz", x_train=images, y_train=targets, x_test=images[:tested], y_test=targets[:tested])


def cifar(folder: Path, count: int, name: str) -> None:
    """As published: the images of a file are one string of Python 2's."""
    place = folder / {"Cifar10": "cifar-10-batches-py", "Cifar100": "cifar-100-python"}[name]
    place.mkdir(parents=True)
    parts = {"Cifar10": [f"data_batch_{part}" for part in range(1, 6)], "Cifar100": ["train"]}[name]
    lists: dict[str, list[list[str]]] = {"train_list": [], "test_list": []}
    for kind, files, images in (("train_list", parts, count // len(parts)), ("test_list", ["test"], count // 5)):
        data = pixels(images).reshape(images, 3072)
        names = [f"some_image_s_{index:06d}.png".encode() for index in range(images)]
        entry = {"filenames": names, "fine_labels": [index % 10 for index in range(images)], "data": data}
        length = data.nbytes.to_bytes(4, "little")
        pickled = pickle.dumps(entry, protocol=3).replace(b"B" + length, b"T" + length)
        for file in files:
            (place / file).write_bytes(pickled)
            lists[kind].append([file, hashlib.md5(pickled).hexdigest()])
    (folder / f"{name}.json").write_text(json.dumps(lists))


@pytest.mark.slow
def test_the_peak_is_little_above_the_images(tmp_path: Path) -> None:
    folders = tmp_path / "small", tmp_path / "large"
    for folder, count in zip(folders, (400, 80_000), strict=True):
        folder.mkdir()
        arrays(folder, count)
        for name in ("Cifar10", "Cifar100"):
            cifar(folder, count, name)
    words = measured(IN_MEMORY, *folders, "Cifar100", "Cifar10", "Arrays")
    assert words[::3] == ["Cifar100", "Cifar10", "Arrays"]
    for name, held, more in zip(words[::3], map(int, words[1::3]), map(int, words[2::3]), strict=True):
        assert held == 96_000 * 3072
        assert 0.98 * held < more < 1.3 * held, name  # the small one's peak has a few megabytes of its own


@pytest.mark.slow
def test_a_folder_takes_no_memory_that_grows_with_its_files(tmp_path: Path) -> None:
    """Less than 1 kB for each image more, whose pixels are 12 kB."""
    Image.new("RGB", (80, 70), (10, 200, 30)).save(tmp_path / "one.jpg")
    for folder, count in (("small", 300), ("large", 8300)):
        for index in range(count):
            place = tmp_path / folder / ("train" if index % 5 else "val") / str(index % 2)
            place.mkdir(parents=True, exist_ok=True)
            os.link(tmp_path / "one.jpg", place / f"{index}.jpg")
    files, more = map(int, measured(FOLDER, tmp_path / "small", tmp_path / "large"))
    assert files == 8000
    assert more < 8000 * 1000
