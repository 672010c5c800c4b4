"""Caltech's splits as in Zeiler & Fergus 2014, on folders like the published ones."""

import io
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from convkit.datasets.caltech import Caltech101, Caltech256
from convkit.errors import UserError

KNOWN: dict[str, Any] = {"mean": [0.5] * 3, "std": [0.2] * 3, "workers": 0, "size": 8}
COUNTS = [31, 40, 80, 90, 200]  # images of the first classes; the others have 31


def jpeg() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (10, 10)).save(file, "JPEG")
    return file.getvalue()


def made(root: Path, kind: type[Caltech101], least: int = 31) -> Path:
    content = jpeg()
    names = [f"class_{index:03d}" for index in range(kind.num_classes)]
    if kind is Caltech256:
        names = [f"{index + 1:03d}.{name}" for index, name in enumerate(names)]
    for index, name in enumerate([*names, kind.no_class]):
        folder = root / kind.folder / name
        folder.mkdir(parents=True)
        for number in range(max(least, COUNTS[index]) if index < len(COUNTS) else least):
            (folder / f"image_{number + 1:04d}.jpg").write_bytes(content)
    return root


def ready(kind: type[Caltech101], root: Path, **options: Any) -> Caltech101:
    data = kind(str(root), **{**KNOWN, **options})
    data.prepare_data()
    data.setup()
    return data


def counts(data: Caltech101, split: str) -> list[int]:
    return torch.bincount(data.labels(split), minlength=data.num_classes).tolist()


@pytest.mark.parametrize("per_class", [15, 30])
def test_caltech_101(per_class: int, tmp_path: Path) -> None:
    data = ready(Caltech101, made(tmp_path, Caltech101), per_class=per_class)
    assert counts(data, "train") == [per_class] * 101
    assert counts(data, "test")[:6] == [min(50, count - per_class) for count in [*COUNTS, 31]]
    assert len(data.class_names) == 101
    assert "BACKGROUND_Google" not in data.class_names
    assert data.splits["val"].tolist() == data.splits["test"].tolist()
    assert not set(data.splits["train"]) & set(data.splits["test"])
    other = ready(Caltech101, tmp_path, per_class=per_class, seed=1)
    assert set(other.splits["train"]) != set(data.splits["train"])
    assert set(ready(Caltech101, tmp_path, per_class=per_class).splits["test"]) == set(data.splits["test"])
    some = ready(Caltech101, tmp_path, per_class=per_class, val_fraction=0.2, fraction=0.5)
    assert counts(some, "val") == [per_class // 5] * 101
    assert counts(some, "train") == [per_class * 4 // 5 // 2] * 101


def test_caltech_256(tmp_path: Path) -> None:
    data = ready(Caltech256, made(tmp_path, Caltech256, least=61), per_class=60)
    assert counts(data, "train") == [60] * 256
    assert counts(data, "test")[:6] == [1, 1, 20, 30, 140, 1]  # all of the others
    assert data.class_names[0] == "class_000"
    assert len(data.class_names) == 256


def test_too_many_a_class(tmp_path: Path) -> None:
    with pytest.raises(UserError) as raised:
        ready(Caltech101, made(tmp_path, Caltech101), per_class=31)
    assert str(raised.value) == "the class class_000 has 31 images: with data.per_class 31 none is left to test"
    with pytest.raises(ValueError, match=r"data\.per_class is a number of images and cannot be 0"):
        Caltech101(per_class=0)


def test_not_there_and_no_network(tmp_path: Path, no_network: None) -> None:
    with pytest.raises(UserError, match="could not be downloaded there") as raised:
        ready(Caltech101, tmp_path / "new")
    assert "\n" not in str(raised.value)
    left = [path for path in (tmp_path / "new").rglob("*") if path.is_file() and path.suffix != ".lock"]
    assert not left


@pytest.fixture
def any_checksum(monkeypatch: pytest.MonkeyPatch) -> None:
    """Archives of our own pass for the published ones."""
    monkeypatch.setattr("torchvision.datasets.utils.check_md5", lambda *_, **__: True)


def packed(folder: Path, extra: str | None = None) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        archive.add(folder, "101_ObjectCategories")
        if extra:
            member = tarfile.TarInfo(extra)
            member.size = 4
            archive.addfile(member, io.BytesIO(b"evil"))
    return file.getvalue()


def test_an_archive_is_unpacked(tmp_path: Path, any_checksum: None, no_network: None) -> None:
    source = made(tmp_path / "source", Caltech101, least=3) / Caltech101.folder
    root = tmp_path / "root"
    (root / "caltech101").mkdir(parents=True)
    with zipfile.ZipFile(root / Caltech101.archive, "w") as archive:
        archive.writestr("caltech-101/101_ObjectCategories.tar.gz", packed(source))
    data = ready(Caltech101, root, per_class=2)
    assert counts(data, "train") == [2] * 101
    assert sorted(path.name for path in (root / "caltech101").iterdir()) == ["101_ObjectCategories", "caltech-101.zip"]
    assert [path.name for path in root.iterdir() if path.is_dir()] == ["caltech101"]  # nothing half-made is left


@pytest.mark.parametrize("name", ["../../evil.jpg", "{outside}/evil.jpg"])
def test_an_archives_names_never_leave_its_root(
    name: str, tmp_path: Path, any_checksum: None, no_network: None
) -> None:
    root = tmp_path / "root"
    (root / "caltech256").mkdir(parents=True)
    with tarfile.open(root / Caltech256.archive, "w") as archive:
        member = tarfile.TarInfo(name.format(outside=tmp_path))
        member.size = 4
        archive.addfile(member, io.BytesIO(b"evil"))
    with pytest.raises(UserError, match=r"Caltech256 (cannot be unpacked|is not) under"):
        ready(Caltech256, root)
    assert not list(tmp_path.rglob("*evil*"))
    assert not (root / Caltech256.folder).exists()


def test_a_zips_names_never_leave_its_root(tmp_path: Path, any_checksum: None, no_network: None) -> None:
    root = tmp_path / "root"
    (root / "caltech101").mkdir(parents=True)
    with zipfile.ZipFile(root / Caltech101.archive, "w") as archive:
        archive.writestr("../../../evil.jpg", b"evil")
        archive.writestr("caltech-101/x.txt", b"")
    with pytest.raises(UserError):
        ready(Caltech101, root)
    assert not list(tmp_path.rglob("*evil*"))
