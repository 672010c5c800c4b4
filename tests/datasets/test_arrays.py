"""One's own images in a .npz file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from convkit.datasets.arrays import Arrays
from convkit.datasets.statistics import measure
from convkit.errors import UserError


def arrays(channels: int | None = 3) -> dict[str, Any]:
    random = np.random.RandomState(0)
    shape = (5, 7) if channels is None else (5, 7, channels)
    return {
        "x_train": random.randint(0, 256, (30, *shape), dtype=np.uint8),
        "y_train": np.arange(30) % 3,
        "x_test": random.randint(0, 256, (12, *shape), dtype=np.uint8),
        "y_test": np.arange(12) % 3,
        "class_names": ["ant", "bee", "cat"],
    }


def write(tmp_path: Path, made: dict[str, Any], *, packed: bool = False) -> str:
    path = tmp_path / "mine.npz"
    (np.savez_compressed if packed else np.savez)(path, **made)
    return str(path)


@pytest.mark.parametrize("channels", [None, 1, 3])
@pytest.mark.parametrize("packed", [True, False])
def test_images_and_labels_are_the_files(channels: int | None, packed: bool, tmp_path: Path) -> None:
    made = arrays(channels)
    data = Arrays(write(tmp_path, made, packed=packed))
    assert (data.num_classes, data.class_names) == (3, ["ant", "bee", "cat"])
    assert data.image_shape == (channels or 1, 5, 7)
    for part, split in zip(("train", "test"), data.load(), strict=True):
        for index, pixels in enumerate(made[f"x_{part}"]):
            assert np.array_equal(split.images[index].numpy(), np.moveaxis(np.atleast_3d(pixels), 2, 0))
        assert split.targets.tolist() == made[f"y_{part}"].tolist()
        assert split.targets.dtype == torch.int64


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"class_names": None}, ["0", "1", "2"]),
        ({"class_names": np.array([b"ant", b"bee", b"cat"])}, ["ant", "bee", "cat"]),
        ({"class_names": ["ant", "bee", "cat", "dog"]}, ["ant", "bee", "cat", "dog"]),
        ({"class_names": "all", "y_train": np.zeros(30, np.uint8), "y_test": np.zeros(12, np.uint8)}, ["all"]),
        ({"y_train": (np.arange(30) % 3)[:, None]}, ["ant", "bee", "cat"]),
    ],
)
def test_class_names(change: dict[str, Any], names: list[str], tmp_path: Path) -> None:
    made = {key: value for key, value in {**arrays(), **change}.items() if value is not None}
    data = Arrays(write(tmp_path, made))
    assert data.class_names == names
    data.setup()


def test_mean_and_deviation_are_measured_or_given(tmp_path: Path) -> None:
    path = write(tmp_path, arrays())
    data = Arrays(path, std=[0.1, 0.2, 0.3])
    data.setup()
    assert data.std == (0.1, 0.2, 0.3)
    assert data.mean == measure(data.splits["train"].images)[0]


def test_constructing_reads_no_image(shared: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    read = np.lib.npyio.NpzFile.__getitem__
    monkeypatch.setattr(np.lib.npyio.NpzFile, "__getitem__", lambda file, key: asked.append(key) or read(file, key))
    data = Arrays(str(shared("data/cifar10.npz")))
    assert (data.num_classes, data.image_shape) == (10, (3, 32, 32))
    assert asked == ["class_names"]


X, Y = np.zeros((30, 5, 7, 3), np.uint8), np.zeros(30, np.int64)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"y_test": None}, "lacks y_test; it has x_train, y_train, x_test, class_names"),
        ({"x_train": X / 255}, "x_train holds float64, wanted uint8 from 0 to 255"),
        ({"x_test": X.astype(np.float32)}, "x_test holds float32, wanted uint8 from 0 to 255"),
        ({"y_train": Y / 2}, "y_train holds float64, wanted class indices"),
        ({"y_train": np.array(["ant"] * 30)}, "y_train holds <U3, wanted class indices"),
        ({"x_train": X[:, 0, 0]}, "x_train is N×H×W or N×H×W×C, not 30×3"),
        ({"x_test": X[..., :1]}, "x_test has images of (5, 7, 1), x_train of (5, 7, 3)"),
        ({"y_train": Y[:29]}, "30 images in x_train, 29 labels in y_train"),
        ({"y_train": Y + 3}, "the labels in y_train go from 3 to 3, the classes from 0 to 2"),
        ({"y_test": np.arange(12) - 1}, "the labels in y_test go from -1 to 10, the classes from 0 to 2"),
        ({"class_names": np.array(["ant", None], dtype=object)}, "class_names cannot be read: Object arrays"),
        ({"x_train": X[:0], "y_train": Y[:0]}, "x_train holds no images"),
        ({"x_train": X[:0], "y_train": Y[:0], "class_names": None}, "x_train holds no images"),
        ({"x_test": X[:0], "y_test": Y[:0]}, "x_test holds no images"),
        ({"y_train": Y[:0], "class_names": None}, "30 images in x_train, 0 labels in y_train"),
    ],
)
def test_bad_arrays(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    made = {key: value for key, value in {**arrays(), **change}.items() if value is not None}
    path = write(tmp_path, made)
    with pytest.raises(UserError) as raised:
        Arrays(path).setup()
    assert said in str(raised.value)
    assert path in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"mean": [0.5]}, "data.mean has 1 values for images of 3 channels"),
        ({"std": [0.5] * 4}, "data.std has 4 values for images of 3 channels"),
        ({"std": [0.5, 0.0, 0.5]}, "data.std divides the values and must be above 0, not [0.5, 0.0, 0.5]"),
    ],
)
def test_bad_options(options: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as raised:
        Arrays(write(tmp_path, arrays()), **options)
    assert str(raised.value) == said


def cut(contents: bytes) -> bytes:
    return contents[: len(contents) // 2]


def spoilt(contents: bytes) -> bytes:
    """Broken inside the first array, whose header is whole."""
    return contents[:20_000] + b"\xff" * 400 + contents[20_400:]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (cut, "mine.npz is not a readable .npz file: "),
        (spoilt, "mine.npz: x_train cannot be read: "),
        (lambda _: b"", "mine.npz is not a readable .npz file: "),
        (lambda _: b"x,y\n1,2\n", "mine.npz is not a readable .npz file: "),
    ],
    ids=["cut", "spoilt", "empty", "text"],
)
@pytest.mark.parametrize("packed", [True, False])
def test_damaged_files(damage: Callable[[bytes], bytes], said: str, packed: bool, tmp_path: Path) -> None:
    many = {"x_train": np.random.RandomState(0).randint(0, 256, (300, 5, 7, 3), dtype=np.uint8)}
    path = Path(write(tmp_path, {**many, **arrays(), **many}, packed=packed))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError) as raised:
        Arrays(str(path)).load()
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no file .*/none\.npz; set --data\.path to your \.npz"):
        Arrays(str(tmp_path / "none.npz"))
    with pytest.raises(UserError, match=r"is not a readable \.npz file: "):
        Arrays(str(tmp_path))
