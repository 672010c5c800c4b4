"""``convkit data``: figures of data sets, and sheets of their images."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from convkit.cli.samples import summarised
from convkit.datasets.digits import Digits
from convkit.report.sheet import MARGIN, TILE

Command = Callable[..., Any]


def test_table_and_json_agree_with_the_data(convkit: Command) -> None:
    data = Digits(val_fraction=0.2)
    data.setup()
    result = convkit("data", "digits", "--data.val_fraction", "0.2", "--json")
    (found,) = json.loads(result.out)
    assert (result.status, result.err) == (0, "")
    assert (found["name"], found["classes"], found["image_shape"]) == ("digits", 10, [1, 32, 32])
    assert found["mean"] == list(data.mean)
    assert found["std"] == list(data.std)
    for index, name in enumerate(data.class_names):
        expected = {split: int((data.splits[split].targets == index).sum()) for split in ("train", "val", "test")}
        assert found["counts"][name] == expected
    text = convkit("data", "digits", "--data.val_fraction", "0.2").out.splitlines()
    assert text[0] == f"digits: 10 classes, 1×32×32, mean {data.mean[0]:.4f}, deviation {data.std[0]:.4f}"
    assert text[1].split() == ["class", "train", "val", "test"]
    assert text[2].split() == ["0", *(str(count) for count in found["counts"]["0"].values())]
    assert text[-1].split() == ["all", *(f"{len(data.labels(split)):,}" for split in ("train", "val", "test"))]


def test_sheet_shows_what_the_loader_gives(convkit: Command, tmp_path: Path) -> None:
    """In hard pixels: 16×16 images, eight times as large on the page."""
    out, options = tmp_path / "sheet.png", ("--data.size", 16, "--data.augment.pad", 3)
    result = convkit("data", "digits", *options, "--images", 3, "--out", out)
    assert result.status == 0, result.err
    data = summarised("", ["--data=convkit.datasets.digits.Digits", "--data.size=16", "--data.augment.pad=3"]).data
    images, _ = next(iter(data.train_dataloader()))
    expected = (images[:3] * data.std[0] + data.mean[0]).clamp(0, 1).mul(255).round().to(torch.uint8)
    with Image.open(out) as page:
        pixels = np.asarray(page)
    rows = [row for row in range(len(pixels) - TILE) if (pixels[row, MARGIN : MARGIN + TILE] != 255).any()]
    for index in range(3):
        left = MARGIN + index * (TILE + MARGIN)
        shown = pixels[:, left : left + TILE, 0]
        large = np.kron(expected[index, 0].numpy(), np.ones((8, 8), np.uint8))
        assert any(np.array_equal(shown[row : row + TILE], large) for row in rows)
    assert f"sheet: {out}" in result.out


def test_several_data_sets_and_a_config(convkit: Command, tmp_path: Path) -> None:
    out = tmp_path / "sheet.PNG"
    words = ("--data.per_class", 4, "--split", "test", "--images", 8, "--out", out, "--json")
    result = convkit("data", "digits", "--config", "quickstart", *words)
    first, second = json.loads(result.out)
    assert [first["name"], second["name"]] == ["digits", "quickstart"]
    assert first["counts"]["3"] == {"train": 4, "val": 15, "test": 37}
    with Image.open(out) as page:
        assert page.height == MARGIN + 2 * (34 + TILE + 20 + MARGIN)


@pytest.mark.parametrize("name", ["image_folder", "small_folder"])
def test_a_folder(convkit: Command, tmp_path: Path, name: str) -> None:
    """The sheet of a split whose files are in the order of their classes has images of all of them."""
    for index in range(90):
        place = tmp_path / "root" / ("train" if index % 3 else "val") / "abc"[index // 30]
        place.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 20), [(200, 0, 0), (0, 200, 0), (0, 0, 200)][index // 30]).save(place / f"{index}.png")
    (tmp_path / "root/train/a/0.jpg").write_bytes(b"none")
    words = ("--data.root", tmp_path / "root", "--data.size", 16, "--data.on_error", "skip", "--data.workers", 2)
    out = tmp_path / "sheet.png"
    result = convkit("data", name, *words, "--split", "val", "--images", 6, "--out", out)
    assert (result.status, result.err) == (0, "")
    lines = [line.split() for line in result.out.splitlines()]
    assert lines[2] == ["a", "21" if name == "image_folder" else "20", "10", "10"]
    assert f"left out: {tmp_path / 'root/train/a/0.jpg'}: it is not an image" in result.out
    with Image.open(out) as page:
        middles = [
            page.getpixel((MARGIN + index * (TILE + MARGIN) + TILE // 2, 110)) for index in range(6)
        ]  # in the first row of images
    assert middles == [(200, 0, 0)] * 2 + [(0, 200, 0)] * 2 + [(0, 0, 200)] * 2
    if name == "image_folder":  # of ten crops the sheet shows the middle one
        result = convkit("data", name, *words, "--data.ten_crop", "true", "--split", "test", "--out", out, "--json")
        assert result.status == 0, result.err
        assert list(json.loads(result.out)[0]["skipped"]) == [str(tmp_path / "root/train/a/0.jpg")]


def test_many_classes_are_summed_up(convkit: Command, tmp_path: Path) -> None:
    labels = np.repeat(np.arange(40), np.arange(40) + 1)
    images = np.zeros((len(labels), 4, 4), np.uint8)
    np.savez(tmp_path / "many.npz", x_train=images, y_train=labels, x_test=images[:2], y_test=labels[:2])
    result = convkit("data", "arrays", "--data.path", tmp_path / "many.npz", "--data.val_fraction", 0)
    assert [line.split() for line in result.out.splitlines()[2:]] == [
        ["most:", "39", "40", "0", "0"], ["fewest:", "0", "1", "1", "1"], ["all", "820", "2", "2"]
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["digitz"], "unknown dataset 'digitz'; did you mean digits?"),
        (["lenet"], "unknown dataset 'lenet', which names another kind of plugin (architecture)"),
        ([], "data needs a NAME: arrays, "),
        (["digits", "--data.nope", "3"], "data: Digits has no option 'nope'"),
        (["digits", "--data.fraction", "3"], "data.fraction is a share above 0 and up to 1, not 3.0"),
        (["digits", "--data.per_class", "500"], "data.per_class 500: class '0' has 128 training images"),
        (["digits", "--data.augment.pad", "x"], "data.augment.pad"),
        (["digits", "--outt", "x.png"], "data has no option '--outt'; did you mean --out?"),
        (["digits", "--out"], "--out needs a value"),
        (["digits", "--out", "x.jpg"], "--out is a PNG file, such as x.png, not x.jpg"),
        (["digits", "--out", "nowhere/x.png"], "there is no folder nowhere to write x.png into"),
        (["digits", "--split", "all"], "--split is one of train, val, test, not 'all'"),
        (["digits", "--images", "0"], "--images is a number of images, not '0'"),
        (["arrays"], "Arrays needs path; give --data.path"),
        (["fashion_mnist", "--data.root", "/dev/null"], "FashionMNIST is not under '/dev/null'"),
        (["--config", "nope"], "there is no config nope"),
    ],
)
def test_bad_input(words: list[str], said: str, convkit: Command) -> None:
    result = convkit("data", *words)
    assert result.status == 2
    assert result.err.startswith(f"convkit: error: {said}")
    assert result.err.count("\n") == 1


def test_a_config_without_data(convkit: Command, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("model: {architecture: lenet}")
    result = convkit("data", "--config", tmp_path / "c.yaml")
    assert (result.status, result.err) == (2, f"convkit: error: {tmp_path / 'c.yaml'} names no data\n")


def test_help_needs_no_torch() -> None:
    code = (
        "import sys; from convkit.cli.front import main; main(['data', '--help']);"
        "assert not {'torch', 'lightning', 'numpy'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "fashion_mnist" in done.stdout
