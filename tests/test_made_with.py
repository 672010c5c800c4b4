"""What a run was made with: above all, a fingerprint that tells data apart."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from convkit.architectures.lenet import LeNet
from convkit.datasets.arrays import Arrays
from convkit.datasets.digits import Digits
from convkit.datasets.features import FeatureData
from convkit.datasets.image_folder import ImageFolder
from convkit.made_with import data_facts, git_state, plugins_of


def facts(data: Any) -> dict[str, Any]:
    data.prepare_data()
    data.setup()
    return data_facts(data)


def test_images_in_memory() -> None:
    found = facts(Digits(size=8))
    assert found["images"] == {"train": 1295, "val": 143, "test": 359}
    assert facts(Digits(size=8, batch_size=7)) == found  # how they are read is no part of it
    assert facts(Digits(size=9))["sha256"] != found["sha256"]
    assert facts(Digits(size=8, seed=1))["sha256"] != found["sha256"]  # others are held out
    assert facts(Digits(size=8, fraction=0.5))["images"]["train"] < 1295


@pytest.mark.parametrize("what", ["images", "targets"])
def test_one_byte_tells(what: str) -> None:
    data = Digits(size=8)
    before = facts(data)["sha256"]
    getattr(data.splits["val"], what)[3] ^= 1
    assert data_facts(data)["sha256"] != before
    data.splits["val"].images.copy_(Digits(size=8).load()[0].images[: len(data.splits["val"].images)])


def folder(root: Path) -> Path:
    for split, count in (("train", 3), ("val", 2)):
        for name in ("ant", "bee"):
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                Image.new("RGB", (8, 8), (number, 0, 0)).save(root / split / name / f"{number}.bmp")
    return root


def photographs(root: Path) -> dict[str, Any]:
    return facts(ImageFolder(root=str(root), mean=[0.5] * 3, std=[0.5] * 3))


def test_files_by_name_size_and_class(tmp_path: Path) -> None:
    one, other = folder(tmp_path / "one"), folder(tmp_path / "other")
    found = photographs(one)
    assert found["images"]["train"] == 6
    assert photographs(other) == found  # wherever they lie
    (other / "train/ant/0.bmp").write_bytes(b"\0" * 9)  # a size, not read
    assert photographs(other)["sha256"] != found["sha256"]
    (other / "train/ant/0.bmp").write_bytes((one / "train/ant/0.bmp").read_bytes())
    assert photographs(other) == found
    (other / "train/ant/0.bmp").rename(other / "train/ant/9.bmp")
    assert photographs(other)["sha256"] != found["sha256"]


def test_features_are_their_images() -> None:
    images = Digits(size=16, augment=None)
    wanted = facts(images)
    assert data_facts(FeatureData(images, LeNet(10, (1, 16, 16)))) == wanted
    assert data_facts(object()) == {"sha256": None, "images": {}}


def test_plugins_that_a_configuration_names() -> None:
    config = {
        "data": {"class_path": "convkit.datasets.digits.Digits"},
        "model": {"architecture": "my_nets.TwoLayers", "schedule": {"class_path": "convkit.schedules.cosine.Cosine"}},
    }
    found = list(plugins_of(config))
    assert [(one["kind"], one["name"], one["path"]) for one in found] == [
        ("dataset", "digits", "convkit.datasets.digits:Digits"),
        ("schedule", "cosine", "convkit.schedules.cosine:Cosine"),
    ]
    assert {one["distribution"] for one in found} == {"convkit"}
    assert list(plugins_of({"data": None, "model": {"architecture": None, "schedule": None}})) == []


def test_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_state() is None
    subprocess.run(["git", "init", "-q"], check=True)
    assert git_state() is None  # no commit yet
    (tmp_path / "a").write_text("1")
    subprocess.run(["git", "add", "a"], check=True)
    subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "a"], check=True)
    head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    assert git_state() == {"revision": head, "changed": False}
    (tmp_path / "b").write_text("not known to git")
    assert git_state() == {"revision": head, "changed": False}
    (tmp_path / "a").write_text("2")
    assert git_state() == {"revision": head, "changed": True}
    monkeypatch.setenv("PATH", "")
    assert git_state() is None  # no git


def test_arrays_with_as_many_images_of_other_bytes(tmp_path: Path) -> None:
    import numpy as np

    random = np.random.default_rng(0)
    found = []
    for number in range(2):
        images, labels = random.integers(0, 256, (20, 8, 8), dtype=np.uint8), np.arange(20) % 2
        np.savez(tmp_path / f"{number}.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
        found.append(facts(Arrays(str(tmp_path / f"{number}.npz"), mean=[0.5], std=[0.5]))["sha256"])
    assert found[0] != found[1]
    assert torch.tensor(len(found[0])) == 64
