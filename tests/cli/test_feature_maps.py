"""``convkit maps``: a stage's output as numbers and pictures; mistakes in one line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from convkit.report.responses import GAP, IMAGE, LINE, SIDE, TITLE
from convkit.report.sheet import MARGIN
from convkit.run import Run

Command = Callable[..., Any]


def read(out: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    with np.load(out / "maps.npz") as arrays:
        return json.loads((out / "manifest.json").read_text()), dict(arrays)


def test_the_folder(trained: Path, convkit: Command, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = convkit("maps", trained, "--count", 3, "--split", "test", "--json", "--out", out)
    assert result.status == 0, result.err
    manifest, arrays = read(out)
    assert json.loads(result.out) == manifest
    assert sorted(path.name for path in out.iterdir()) == sorted(
        ["filters.png", "manifest.json", "maps.npz"]
        + [f"{index:04}_{stage}.png" for index in range(3) for stage in ("conv1", "conv3")]
    )
    run = Run.open(trained)
    run.data.prepare_data()
    run.data.setup()
    images, labels = (torch.cat(parts) for parts in zip(*run.data.test_dataloader(), strict=True))
    places = [row["image"] for row in manifest["images"]]
    assert len({row["label"] for row in manifest["images"]}) == 3
    chosen = images[places]
    np.testing.assert_allclose(arrays["images"], chosen * run.data.std[0] + run.data.mean[0], atol=1e-6)
    # LeNet-5 by its own layers, one after the other.
    net = run.model.net
    with torch.no_grad():
        conv1 = net.act1(net.conv1(chosen))
        conv3 = net.act3(net.conv3(net.pool2(conv1)))
        predicted = net(chosen).argmax(1)
    torch.testing.assert_close(torch.from_numpy(arrays["conv1"]), conv1)
    torch.testing.assert_close(torch.from_numpy(arrays["conv3"]), conv3)
    assert manifest["stages"]["conv3"] == {"channels": list(range(16)), "size": [*conv3.shape[2:]]}
    for row, label, guess in zip(manifest["images"], labels[places], predicted, strict=True):
        assert (row["label"], row["predicted"]) == (str(label.item()), str(guess.item()))
    assert np.array_equal(arrays["filters"], net.conv1.weight.detach())
    # The page has each map by its own largest value, twelve in a row.
    page = np.asarray(Image.open(out / "0001_conv3.png"))
    assert conv3[1].any()
    for index, values in enumerate(conv3[1]):
        left = 2 * MARGIN + IMAGE + index % 12 * (SIDE + GAP)
        top = TITLE + MARGIN + index // 12 * (SIDE + LINE + GAP)
        drawn = page[top : top + SIDE, left : left + SIDE, 0].astype(float)
        scaled = values / values.max().clamp(min=1e-9) * 255
        expected = scaled.repeat_interleave(SIDE // 2, 0).repeat_interleave(SIDE // 2, 1).numpy()
        np.testing.assert_allclose(drawn, expected, atol=1)


def test_some_maps_of_one_stage_and_of_a_file(trained: Path, convkit: Command, tmp_path: Path) -> None:
    Image.new("L", (16, 16), 90).save(tmp_path / "grey.png")
    words = ("maps", trained, "--images", tmp_path / "grey.png", "--stage", "conv3", "--channels", "9,2")
    result = convkit(*words, "--out", tmp_path / "out")
    assert result.status == 0, result.err
    assert result.out.startswith("conv3      2 maps of 2×2\n")
    manifest, arrays = read(tmp_path / "out")
    assert manifest["stages"] == {"conv3": {"channels": [2, 9], "size": [2, 2]}}
    assert manifest["images"][0]["name"] == "grey.png"
    assert arrays["conv3"].shape == (1, 2, 2, 2)
    assert set(arrays) == {"images", "filters", "conv3"}


def test_maps_with_negative_values_have_grey_for_nothing(fit: Command, convkit: Command, tmp_path: Path) -> None:
    fit("--trainer.max_epochs", 1, "--model.architecture.activation", "tanh")
    assert convkit("maps", "runs/quickstart", "--stage", "conv1", "--count", 1, "--out", tmp_path / "out").status == 0
    values = read(tmp_path / "out")[1]["conv1"][0]
    assert values.min() < 0
    page = np.asarray(Image.open(tmp_path / "out" / "0000_conv1.png"))
    for index, one in enumerate(values):
        left, top = 2 * MARGIN + IMAGE + index * (SIDE + GAP), TITLE + MARGIN
        drawn = page[top : top + SIDE, left : left + SIDE, 0].astype(float)
        scaled = 127.5 + 127.5 * one / np.abs(one).max()
        assert drawn.min() == pytest.approx(scaled.min(), abs=1)
        assert drawn.max() == pytest.approx(scaled.max(), abs=1)


BAD = {
    "--stage conv9": "--stage: LeNet has no stage 'conv9'; did you mean conv",
    "--stage fc5": "stage fc5 puts out one value a map, and no picture",
    "--stage conv3 --channels 16": "--channels: stage conv3 has the maps 0 to 15, and no 16",
    "--channels x": "--channels is a list of feature maps such as 0,3,7, not 'x'",
    "--images none.png": "none.png cannot be read: No such file or directory",
    "--images red.png": "red.png is in colour, and the network takes grey images",
    "--images large.png": "large.png is 20×18 pixels, and the network takes 16×16",
    "--images grey.png --count 3": "--images names files; leave out --split, --count and --seed",
    "--count 0": "--count is a number of images, not 0",
    "--count few": "maps: argument --count: invalid int value: 'few'; see convkit maps --help",
    "--split all": "maps: argument --split: invalid choice: 'all'",
    "--nope": "maps: unrecognized arguments: --nope; see convkit maps --help",
}


@pytest.mark.parametrize(("words", "said"), BAD.items())
def test_bad_input(words: str, said: str, trained: Path, convkit: Command, tmp_path: Path) -> None:
    Image.new("L", (18, 20)).save(tmp_path / "large.png")
    Image.new("L", (16, 16)).save(tmp_path / "grey.png")
    Image.new("RGB", (16, 16), "red").save(tmp_path / "red.png")
    result = convkit("maps", trained, *words.split(), "--out", tmp_path / "out")
    assert (result.status, result.out) == (2, "")
    assert result.err.startswith(f"convkit: error: {said}")
    assert result.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_nothing_is_overwritten(trained: Path, convkit: Command, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "kept").write_text("x")
    result = convkit("maps", trained, "--out", tmp_path / "mine")
    assert (result.status, [path.name for path in (tmp_path / "mine").iterdir()]) == (2, ["kept"])


def test_a_run_whose_data_is_gone(pictures: Path, convkit: Command, tmp_path: Path) -> None:
    words = "--config cifar10 --data arrays --wandb off --trainer.max_epochs 1 --name c --model.architecture.depth 8"
    assert convkit("fit", *words.split(), "--data.path", pictures).status == 0
    pictures.unlink()
    for command in (("maps",), ("patches",), ("explain", "--method", "saliency")):
        result = convkit(command[0], "runs/c", *command[1:], "--out", tmp_path / "out")
        said = (
            f"convkit: error: the run cannot be built here: there is no file {pictures}; set --data.path to your .npz\n"
        )
        assert (result.status, result.out, result.err) == (2, "", said)
