"""Folders of photographs: which images are found, how they are split, and what is wrong with a folder."""

import errno
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torchvision.datasets import ImageFolder as Torchvisions
from torchvision.transforms import v2

from convkit.datasets.file_statistics import SAMPLE
from convkit.datasets.files import Files
from convkit.datasets.image_folder import ImageFolder
from convkit.datasets.imagenet import ImageNet
from convkit.datasets.photographs import Photographs
from convkit.datasets.subset import stratified
from convkit.errors import UserError

SMALL = {"size": 16, "batch_size": 4, "workers": 0}


def ready(root: Path, kind: type[ImageFolder] = ImageFolder, **options: Any) -> ImageFolder:
    data = kind(str(root), **{**SMALL, **options})
    data.prepare_data()
    data.setup()
    return data


def counts(data: Photographs) -> dict[str, list[int]]:
    return {name: torch.bincount(data.labels(name), minlength=data.num_classes).tolist() for name in data.splits}


def names(data: Photographs, split: str) -> set[bytes]:
    return {data.files.name(row) for row in data.splits[split]}


@pytest.mark.parametrize(
    ("archive", "inside", "classes", "expected"),
    [
        ("hymenoptera_256.zip", "hymenoptera_data", ["ants", "bees"], {"train": [124, 121], "val": [70, 83]}),
        ("tiny_imagenet_10.zip", ".", None, {"train": [500] * 10, "val": [50] * 10}),
    ],
)
def test_real_folders_have_the_published_counts(
    archive: str,
    inside: str,
    classes: list[str] | None,
    expected: dict[str, list[int]],
    shared: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    with zipfile.ZipFile(shared(f"data/{archive}")) as file:
        file.extractall(tmp_path / "real")
    root = tmp_path / "real" / inside
    data = ready(root, mean=[0.5] * 3, std=[0.5] * 3)
    assert counts(data) == {**expected, "test": expected["val"]}
    assert classes is None or data.class_names == classes
    theirs = Torchvisions(str(root / "train"), is_valid_file=lambda path: True)  # it would leave out the GIF
    assert data.class_names == theirs.classes
    assert [os.fsdecode(data.files.path(row)) for row in data.splits["train"]] == [path for path, _ in theirs.samples]
    assert data.labels("train").tolist() == theirs.targets


def test_every_file_of_real_images_can_be_read(shared: Callable[[str], Path], tmp_path: Path) -> None:
    """One of the ants is a GIF by mistake."""
    with zipfile.ZipFile(shared("data/hymenoptera_256.zip")) as file:
        file.extractall(tmp_path)
    data = ready(tmp_path / "hymenoptera_data", size=32, on_error="skip")
    seen = sum(len(targets) for split in ("train", "val") for _, targets in data.loader(split))
    assert seen == 398
    assert not data.skipped


def test_plain_class_folders_are_split_by_class(tree: Callable[..., Path]) -> None:
    root = tree("cat", "dog", "emu", count=20)
    data = ready(root, val_fraction=0.25, seed=1)
    assert counts(data) == {"train": [12] * 3, "val": [4] * 3, "test": [4] * 3}
    assert data.class_names == ["cat", "dog", "emu"]
    everything = [names(data, split) for split in ("train", "val", "test")]
    assert set.union(*everything) == {os.fsencode(path.relative_to(root)) for path in root.glob("*/*")}
    other = ready(root, val_fraction=0.25, seed=2)
    assert names(other, "test") == names(data, "test")
    assert names(other, "val") != names(data, "val")
    assert ready(root, val_fraction=0).splits["val"].tolist() == data.splits["test"].tolist()


def test_splits_of_their_own(tree: Callable[..., Path]) -> None:
    root = tree("train/cat", "train/dog", "valid/cat", "test/dog", count=10)
    assert counts(ready(root)) == {"train": [10, 10], "val": [10, 0], "test": [0, 10]}
    shutil.rmtree(root / "valid")
    assert counts(ready(root, val_fraction=0.2)) == {"train": [8, 8], "val": [2, 2], "test": [0, 10]}
    assert counts(ready(root, val_fraction=0)) == {"train": [10, 10], "val": [0, 10], "test": [0, 10]}
    shutil.rmtree(root / "test")
    assert counts(ready(root, val_fraction=0.2)) == {"train": [8, 8], "val": [2, 2], "test": [2, 2]}
    with pytest.raises(UserError, match=r"has no validation images; give some, or --data\.val_fraction above 0"):
        ready(root, val_fraction=0)


def test_a_class_may_be_called_train(tree: Callable[..., Path]) -> None:
    assert ready(tree("car", "train", count=10)).class_names == ["car", "train"]


def test_hidden_and_foreign_files_are_not_seen_and_deeper_ones_are(tree: Callable[..., Path]) -> None:
    root = tree("cat", "dog/black", "dog/white", count=5)
    (root / ".ipynb_checkpoints").mkdir()
    (root / "cat" / "labels.csv").write_text("x")
    (root / "cat" / "._001.jpg").write_text("x")
    (root / "cat" / "loop").symlink_to(root / "cat", target_is_directory=True)
    data = ready(root, val_fraction=0)
    assert data.class_names == ["cat", "dog"]
    found = [data.files.name(row) for row in range(len(data.files))]
    assert len(found) == 5 + 5 + 10  # the link's once
    assert found == sorted(found)


def test_small_training_sets(tree: Callable[..., Path]) -> None:
    root = tree("train/cat", "train/dog", "val/cat", count=10)
    assert counts(ready(root, per_class=3)) == {"train": [3, 3], "val": [10, 0], "test": [10, 0]}
    assert counts(ready(root, fraction=0.5))["train"] == [5, 5]
    assert names(ready(root, per_class=3), "train") < names(ready(root, per_class=6), "train")


def test_statistics_are_those_of_the_images_and_measured_once(
    tree: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tree("train/cat", "train/dog", "val/cat", count=30)
    data = ready(root, workers=2)
    steps = v2.Compose([v2.Resize(18), v2.CenterCrop(16), v2.PILToTensor()])
    images = torch.stack([steps(image.convert("RGB")) for image, _ in Torchvisions(str(root / "train"))]) / 255
    assert data.mean == pytest.approx(images.mean((0, 2, 3)).tolist(), abs=2e-3)
    assert data.std == pytest.approx(images.std((0, 2, 3), correction=0).tolist(), abs=4e-3)  # at half scale: sharper
    torch.testing.assert_close(data.average_image, images.mean(0), atol=0.01, rtol=0)
    monkeypatch.setattr("convkit.datasets.file_statistics._measure", None)  # it is not called again
    again = ready(root)
    assert (again.mean, again.std) == (data.mean, data.std)
    assert torch.equal(again.average_image, data.average_image)
    assert again.average_image.shape == again.image_shape


def test_statistics_can_be_given(tree: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convkit.datasets.file_statistics._measure", None)
    data = ready(tree("cat", "dog", count=10), mean=[0.1, 0.2, 0.3], std=[1, 1, 1])
    assert (data.mean, data.std) == ((0.1, 0.2, 0.3), (1, 1, 1))


def test_a_million_files_take_little_memory() -> None:
    count = 1_000_000
    files = Files(
        Path("/root"), [b"train/n01440764/n01440764_%06d.JPEG" % index for index in range(count)], [0] * count
    )
    assert files.nbytes < 55 * count
    assert files.path(123_456) == b"/root/train/n01440764/n01440764_123456.JPEG"
    assert files.name(0).endswith(b"_000000.JPEG")
    assert count > SAMPLE


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda root: shutil.rmtree(root), "there is no folder {root}; set --data.root to the folder of your images"),
        (
            lambda root: (shutil.rmtree(root), root.write_text("")),
            "{root} is no folder; set --data.root to the folder of your images",
        ),
        (lambda root: shutil.rmtree(root / "train"), "{root}/val is of a class|has no class|{root}"),
        (lambda root: (root / "train" / "ant").mkdir(), "the class folder {root}/train/ant has no images (.jpg, .jpeg"),
        (lambda root: (root / "val" / "dog").mkdir(), "the class folder {root}/val/dog has no images (.jpg, .jpeg"),
        (
            lambda root: (root / "val" / "cat").rename(root / "val" / "cow"),
            "{root}/val/cow is of a class that the training images lack; remove it or add some",
        ),
        (lambda root: shutil.rmtree(root / "val" / "cat"), "{root}: 8 images leave none for validation"),
    ],
)
def test_bad_folders(break_it: Callable[[Path], Any], said: str, tree: Callable[..., Path]) -> None:
    root = tree("train/cat", "train/dog", "val/cat")
    break_it(root)
    if said.startswith("{root}/val is"):
        # What is left are two plain folders called val: a class of that name, with too few of its own to split.
        assert ImageFolder(str(root)).class_names == ["val"]
        return
    with pytest.raises(UserError) as raised:
        ready(root)
    assert str(raised.value).startswith(said.format(root=root))
    assert "\n" not in str(raised.value)


def test_a_folder_without_classes(tree: Callable[..., Path]) -> None:
    root = tree(".")
    with pytest.raises(UserError, match=r"has no class folders, only images of no class; wanted .*CLASS/\*\.jpg"):
        ImageFolder(str(root))
    shutil.rmtree(root)
    root.mkdir()
    with pytest.raises(UserError, match=r"has no class folders; wanted .*CLASS/\*\.jpg"):
        ImageFolder(str(root))


def test_a_folder_that_cannot_be_read(tree: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """As another user meets it; the superuser may read everything."""
    root, scandir = tree("cat", "dog"), os.scandir

    def refuse(path: Any) -> Any:
        if Path(path) == root / "dog":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(UserError) as raised:
        ready(root)
    assert str(raised.value) == f"{root / 'dog'} cannot be read: Permission denied"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"size": 0}, r"data\.size is a number of pixels and cannot be 0"),
        ({"size": 32, "resize": 31}, r"data\.resize is at least data\.size, 32 pixels"),
        ({"batch_size": 0}, r"data\.batch_size is a number of images and cannot be 0"),
        ({"val_fraction": 1}, r"data\.val_fraction is a share from 0 up to 1, not 1"),
        ({"workers": -1}, r"data\.workers is a number of processes and cannot be -1"),
        ({"cache": "much"}, r"data\.cache is a size such as 20GB, not 'much'"),
        ({"mean": [0.5]}, r"data\.mean is three numbers, not \[0\.5\]"),
        ({"std": [0.5, 0.5, 0]}, r"data\.std is three numbers above 0"),
        ({"scale": [1.0, 0.5]}, r"data\.scale"),
        ({"per_class": 2, "fraction": 0.5}, r"both say how many"),
    ],
)
def test_bad_options(options: dict[str, Any], said: str, tree: Callable[..., Path]) -> None:
    with pytest.raises(ValueError, match=said):
        ImageFolder(str(tree("cat", "dog")), **options)


def test_imagenet(tree: Callable[..., Path]) -> None:
    classes = ["n01440764", "n02012849", "n03126707"]
    root = tree(*(f"{part}/{wnid}" for part in ("train", "val") for wnid in classes), root="ILSVRC/Data/CLS-LOC")
    data = ready(root, ImageNet)
    assert data.class_names == classes
    assert data.mean == (0.485, 0.456, 0.406)
    assert counts(data) == {name: [4] * 3 for name in ("train", "val", "test")}
    lines = ["n01440764 tench, Tinca tinca", "n02012849 crane", "n03126707 crane", "n01443537 goldfish"]
    (root.parents[2] / "LOC_synset_mapping.txt").write_text("\n".join(lines) + "\n")
    assert ImageNet(str(root)).class_names == ["tench", "crane (n02012849)", "crane (n03126707)"]
    (root.parents[2] / "LOC_synset_mapping.txt").write_text("n01440764\n")
    with pytest.raises(UserError, match=r"LOC_synset_mapping\.txt cannot be read: a line is an id and its names"):
        ImageNet(str(root))


def test_what_is_no_imagenet(tree: Callable[..., Path]) -> None:
    with pytest.raises(UserError, match="has no train and val folders"):
        ImageNet(str(tree("n01440764", "n02012849")))
    with pytest.raises(UserError, match="cat is no WordNet id such as n01440764; image_folder takes any names"):
        ImageNet(str(tree("train/cat", "val/cat", root="other")))


def test_the_test_share_of_plain_folders_is_documented() -> None:
    assert stratified(np.zeros(10, dtype=np.int64), 0.2, 0).sum() == 2
