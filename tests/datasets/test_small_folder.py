"""A folder of small images in memory: the splits of ``image_folder``, and the pixels of the files."""

import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import ImageFolder as Torchvisions
from torchvision.transforms import v2

from convkit.cli.front import main
from convkit.datasets.augment import Augment
from convkit.datasets.image_folder import ImageFolder
from convkit.datasets.small_folder import SmallFolder
from convkit.errors import UserError

Tree = Callable[..., Path]


def ready(root: Path, **options: Any) -> SmallFolder:
    data = SmallFolder(str(root), **{"size": 16, "batch_size": 8, "workers": 0, **options})
    data.prepare_data()
    data.setup()
    return data


def names(data: Any, rows: Any) -> list[bytes]:
    return [data.files.name(row) for row in rows.tolist()]


@pytest.mark.parametrize(
    ("folders", "options"),
    [
        (("cat", "dog"), {}),
        (("cat", "dog"), {"val_fraction": 0}),
        (("train/cat", "train/dog"), {"val_fraction": 0.2, "seed": 3}),
        (("train/cat", "train/dog", "valid/cat"), {"per_class": 3}),
        (("train/cat", "train/dog", "val/dog", "test/cat"), {"fraction": 0.5}),
    ],
)
def test_the_splits_are_those_of_image_folder(folders: tuple[str, ...], options: dict[str, Any], tree: Tree) -> None:
    root = tree(*folders, count=10)
    theirs = ImageFolder(str(root), size=16, workers=0, mean=[0.5] * 3, std=[0.5] * 3, **options)
    theirs.setup()
    data = ready(root, **options)
    assert (data.class_names, data.num_classes) == (theirs.class_names, theirs.num_classes)
    for split, rows in theirs.splits.items():
        assert names(data, data.indices[split]) == names(theirs, rows)
        assert torch.equal(data.labels(split), theirs.labels(split))


def test_the_pixels_of_real_files(shared: Callable[[str], Path], tmp_path: Path) -> None:
    with zipfile.ZipFile(shared("data/tiny_imagenet_10.zip")) as file:
        file.extractall(tmp_path, [name for name in file.namelist() if name.startswith("val/")])
    (tmp_path / "val").rename(tmp_path / "all")
    data = ready(tmp_path / "all", size=64, workers=2, val_fraction=0)
    theirs = Torchvisions(str(tmp_path / "all"))
    for split in ("train", "test"):
        expected = torch.stack([v2.PILToTensor()(theirs[row][0]) for row in data.indices[split].tolist()])
        apart = (data.splits[split].images.int() - expected.int()).abs()
        assert apart.max() <= 3  # two decoders
        assert data.labels(split).tolist() == [theirs.targets[row] for row in data.indices[split].tolist()]
    means = torch.stack([v2.PILToTensor()(theirs[row][0]) for row in data.indices["train"].tolist()]) / 255
    assert data.mean == pytest.approx(means.mean((0, 2, 3)).tolist(), abs=1e-3)
    assert data.std == pytest.approx(means.std((0, 2, 3), correction=0).tolist(), abs=1e-3)


def test_the_middle_square_of_other_sizes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for index in range(5):
            pixels = np.zeros((20, 60, 3), np.uint8)
            pixels[:, 17:43] = (250, 100, 10)
            Image.fromarray(pixels).save(tmp_path / name / f"{index}.png")
    data = ready(tmp_path, size=10, val_fraction=0)
    assert data.splits["train"].images.flatten(2).float().mean((0, 2)).tolist() == pytest.approx([250, 100, 10], abs=3)


def test_what_cannot_be_read(tree: Tree) -> None:
    root = tree("train/cat", "train/dog", "val/cat", "val/dog", count=6)
    broken = root / "train/dog/001.JPEG", root / "val/cat/003.jpg"
    broken[0].write_bytes(b"no image")
    broken[1].write_bytes(broken[1].read_bytes()[:200])
    with pytest.raises(UserError, match=f"{broken[0]} cannot be read: it is not an image; remove or replace it, or"):
        ready(root, workers=2)
    data = ready(root, on_error="skip", workers=2)
    assert set(data.skipped) == set(map(str, broken))
    assert torch.bincount(data.labels("train")).tolist() == [6, 5]
    assert torch.bincount(data.labels("test")).tolist() == [5, 6]
    left = {os.fsencode(path.relative_to(root)) for path in root.glob("*/*/*") if path not in broken}
    assert {name for rows in data.indices.values() for name in names(data, rows)} == left


def test_a_fit_lists_what_it_left_out(tree: Tree, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tree("cat", "dog", count=20)
    (root / "dog/001.JPEG").write_bytes(b"no image")
    options = {"--data.root": root, "--data.size": 32, "--data.on_error": "skip", "--data.augment.pad": 2}
    options |= {"--model.architecture": "lenet", "--model.schedule": "plateau", "--trainer.max_epochs": 1}
    options |= {"--runs": tmp_path / "runs", "--name": "it", "--wandb": "off", "--trainer.accelerator": "cpu"}
    assert main(["fit", "--data", "small_folder", *(str(word) for pair in options.items() for word in pair)]) == 0
    assert (tmp_path / "runs/it/1/skipped.txt").read_text() == f"{root / 'dog/001.JPEG'}\tit is not an image\n"
    assert "1 image left out that cannot be read: " in capsys.readouterr().err


def test_batches_are_those_of_the_other_sets_in_memory(tree: Tree) -> None:
    data = ready(tree("cat", "dog", count=20), augment=Augment(pad=2, flip=True))
    batches = list(data.train_dataloader())
    assert [len(targets) for _, targets in batches] == [8, 8, 12]
    assert sorted(torch.cat([targets for _, targets in batches]).tolist()) == sorted(data.labels("train").tolist())


def test_too_large_for_the_memory(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tree("cat", "dog", count=20)
    monkeypatch.setattr("convkit.datasets.small_folder._memory", lambda: 2 * 40 * 3 * 16 * 16 - 1)
    with pytest.raises(
        UserError, match=r"40 images of 16×16 take 0\.0 GB of the machine's 0\.0; image_folder reads them"
    ):
        ready(root)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"size": 0}, r"data\.size is a number of pixels and cannot be 0"),
        ({"workers": -1}, r"data\.workers is a number of processes and cannot be -1"),
        ({"mean": [0.5]}, r"data\.mean is three numbers, not \[0\.5\]"),
        ({"std": [0.5, 0, 0.5]}, r"data\.std is three numbers above 0"),
    ],
)
def test_bad_options(options: dict[str, Any], said: str, tree: Tree) -> None:
    with pytest.raises(ValueError, match=said):
        SmallFolder(str(tree("cat", "dog")), **options)
