"""``convkit explain``: pictures, arrays and a manifest that agree with the explainers; mistakes in one line."""

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

from convkit.explainers.deconvolution import deconvnet
from convkit.explainers.grad_cam import grad_cam
from convkit.report.maps import overlay, picture
from convkit.run import Run

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
Command = Callable[..., Any]


@pytest.fixture(scope="module")
def batch(trained: Path) -> tuple[Run, torch.Tensor, torch.Tensor]:
    """A run, all its validation images, and their labels."""
    run = Run.open(trained)
    run.data.prepare_data()
    run.data.setup()
    images, labels = zip(*run.data.val_dataloader(), strict=True)
    return run, torch.cat(images), torch.cat(labels)


def explained(convkit: Command, *words: object) -> dict[str, Any]:
    result = convkit("explain", *words, "--json")
    assert result.status == 0, result.err
    return json.loads(result.out)


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def test_grad_cam_of_the_validation_images(trained: Path, batch, convkit: Command, tmp_path: Path) -> None:
    run, images, labels = batch
    out = tmp_path / "out"
    manifest = explained(convkit, trained, "--method", "grad_cam", "--count", 5, "--stage", "conv1", "--out", out)
    assert manifest == json.loads((out / "manifest.json").read_text())
    assert (manifest["method"], manifest["stage"], manifest["unit"]) == ("grad_cam", "conv1", None)
    places = [row["image"] for row in manifest["images"]]
    assert [row["name"] for row in manifest["images"]] == [f"val {place}" for place in places]
    images, labels = images[places], labels[places]
    assert len(set(labels.tolist())) == 5
    with torch.no_grad():
        logits = run.model(images)
    expected = grad_cam(run.model.net, images, logits.argmax(1), stage="conv1")
    arrays = np.load(out / "maps.npz")
    torch.testing.assert_close(torch.from_numpy(arrays["maps"]), expected)
    shown = torch.from_numpy(arrays["images"])
    torch.testing.assert_close(shown, images * run.data.std[0] + run.data.mean[0])
    for index, row in enumerate(manifest["images"]):
        assert row["label"] == str(labels[index].item())
        assert row["predicted"] == row["target"] == str(logits[index].argmax().item())
        assert row["score"] == pytest.approx(logits[index].max().item(), rel=1e-5)
        for name, drawn in (("map", picture(expected[index])), ("overlay", overlay(shown[index], expected[index]))):
            found = torch.from_numpy(pixels(out / row[name]).copy()).float() / 255
            found = found.permute(2, 0, 1) if found.ndim == 3 else found[None]
            torch.testing.assert_close(found, drawn, rtol=0, atol=0.6 / 255)
    assert sorted(path.name for path in out.iterdir()) == sorted(
        [
            "manifest.json",
            "maps.npz",
            "sheet.png",
            *(f"{i:04}_{kind}.png" for i in range(5) for kind in ("map", "overlay")),
        ]
    )


def test_the_choice_of_images_is_by_class_and_by_seed(trained: Path, batch, convkit: Command, tmp_path: Path) -> None:
    _, _, labels = batch

    def places(*words: object, out: str) -> list[int]:
        manifest = explained(convkit, trained, "--method", "saliency", *words, "--out", tmp_path / out)
        return [row["image"] for row in manifest["images"]]

    first = places("--count", 23, out="a")
    assert len(set(first)) == 23
    assert sorted(np.bincount(labels[first], minlength=10)) == [2] * 7 + [3] * 3
    assert places("--count", 23, "--seed", 0, out="b") == first
    assert places("--count", 23, "--seed", 1, out="c") != first
    assert set(places("--count", 7, out="d")) < set(first)
    assert len(places(out="e")) == 16


def test_the_stage_that_grad_cam_chose_is_told(trained: Path, convkit: Command, tmp_path: Path) -> None:
    for method in ("grad_cam", "guided_grad_cam"):
        told = explained(convkit, trained, "--method", method, "--count", 2, "--out", tmp_path / method)
        assert told["stage"] == "conv3"
        given = explained(
            convkit, trained, "--method", method, "--count", 2, "--stage", "conv3", "--out", tmp_path / f"{method}3"
        )
        assert given == told


def test_a_unit_labels_and_sanity(trained: Path, batch, convkit: Command, tmp_path: Path) -> None:
    run, images, _ = batch
    words = ("--method", "deconvnet", "--stage", "conv3", "--unit", 2, "--count", 3, "--sanity", "--out")
    manifest = explained(convkit, trained, *words, tmp_path / "a")
    images = images[[row["image"] for row in manifest["images"]]]
    expected = deconvnet(run.model.net, images, torch.full((3,), 2), of="conv3")
    torch.testing.assert_close(torch.from_numpy(np.load(tmp_path / "a" / "maps.npz")["maps"]), expected)
    for row in manifest["images"]:
        assert row["target"] == "conv3 2"
        assert row["unchanged"] == (row["rank_correlation"] > manifest["unchanged_from"])
        assert (tmp_path / "a" / row["random_map"]).is_file()
    text = convkit("explain", trained, *words, tmp_path / "b").out
    unchanged = sum(row["unchanged"] for row in manifest["images"])
    assert f"{unchanged} of 3 maps hardly change with random weights" in text


def test_targets(trained: Path, batch, convkit: Command, tmp_path: Path) -> None:
    _, _, labels = batch
    for target in ("label", "7"):
        words = ("--method", "saliency", "--target", target, "--count", 4, "--out", tmp_path / target)
        rows = explained(convkit, trained, *words)["images"]
        expected = [str(label) for label in labels[[row["image"] for row in rows]].tolist()]
        assert [row["target"] for row in rows] == (expected if target == "label" else ["7"] * 4)


def test_files_are_what_the_network_gets(trained: Path, batch, convkit: Command, tmp_path: Path) -> None:
    """A validation image written to a file is explained as it is in the data."""
    run, images, _ = batch
    grey = (images[0, 0] * run.data.std[0] + run.data.mean[0]).mul(255).round().byte().numpy()
    Image.fromarray(grey).save(tmp_path / "one.png")
    Image.fromarray(np.stack([grey] * 3, 2)).save(tmp_path / "two.png")
    words = ("--method", "saliency", "--images", tmp_path / "one.png", tmp_path / "two.png", "--out", tmp_path / "out")
    manifest = explained(convkit, trained, *words)
    assert [row["name"] for row in manifest["images"]] == ["one.png", "two.png"]
    assert manifest["images"][0]["label"] is None
    shown = np.load(tmp_path / "out" / "maps.npz")["images"]
    np.testing.assert_allclose(shown[:, 0] * 255, np.stack([grey, grey]), atol=1e-3)


def test_class_images(trained: Path, batch, convkit: Command, tmp_path: Path) -> None:
    """Each class is stronger in its drawn image than in any of the data."""
    run, images, _ = batch
    words = ("--method", "class_image", "--option", "rate=100", "weight_decay=0.00001", "--out", tmp_path / "out")
    manifest = explained(convkit, trained, *words)
    assert manifest["options"] == {"rate": 100.0, "weight_decay": 0.00001}
    assert [row["target"] for row in manifest["images"]] == [str(digit) for digit in range(10)]
    with torch.no_grad():
        strongest = run.model(images).amax(0)
    scores = torch.tensor([row["score"] for row in manifest["images"]])
    assert (scores > strongest).all()
    assert not any("overlay" in row for row in manifest["images"])
    one = ("--method", "class_image", "--target", "3", "--out", tmp_path / "one")
    assert [row["name"] for row in explained(convkit, trained, *one)["images"]] == ["3"]
    unit = ("--method", "class_image", "--stage", "conv3", "--unit", 1, "--out", tmp_path / "unit")
    assert [row["target"] for row in explained(convkit, trained, *unit)["images"]] == ["conv3 1"]


def test_from_python_leaves_the_run_as_it_was(trained: Path) -> None:
    run = Run.open(trained)
    before = {name: value.clone() for name, value in run.model.state_dict().items()}
    found = run.explain("occlusion", count=2, options={"size": 8, "stride": 8})
    assert found.maps.shape == found.images.shape == (2, 1, 16, 16)
    assert not run.model.training
    assert all(torch.equal(value, before[name]) for name, value in run.model.state_dict().items())


# What follows --method, and what is said.
BAD = {
    "grad_cm": "unknown explainer 'grad_cm'; did you mean grad_cam?",
    "saliency --target eleven": "there is no class 'eleven' in Digits, by name or from 0 to 9: 0, 1,",
    "saliency --target 10": "there is no class '10' in Digits; did you mean 1?",
    "grad_cam --stage conv9": "LeNet has no stage 'conv9'; did you mean conv",
    "grad_cam --stage fc5": "grad_cam needs N×C×H×W maps, and stage fc5 puts none out",
    "grad_cam --unit 3 --stage conv3": "grad_cam explains classes, not units: leave out --unit",
    "deconvnet --unit 3": "--unit needs --stage, the stage whose feature map it is",
    "deconvnet --stage conv3": "deconvnet with --stage needs --unit too, the feature map to explain",
    "cam --stage conv3": "cam with --stage has no stage to choose",
    "cam": "cam needs a head on globally averaged maps, and LeNet's gets something else; use grad_cam",
    "deconvnet --unit 16 --stage conv3": "there is no target 16: there are 16, counted from 0",
    "saliency --unit 1 --stage conv3 --target 3": "--unit and --target exclude each other: a unit",
    "saliency --images none.png": "none.png cannot be read: No such file or directory",
    "saliency --images text.png": "text.png cannot be read: it is not an image",
    "saliency --images .": ". cannot be read: Is a directory",
    "saliency --images large.png": "large.png is 20×18 pixels, and the network takes 16×16",
    "saliency --images red.png": "red.png is in colour, and the network takes grey images",
    "saliency --images grey.png --target label": "--target label needs images with labels",
    "saliency --images grey.png --split val": "--images names files; leave out --split, --count and --seed",
    "saliency --images grey.png --seed 0": "--images names files; leave out --split, --count and --seed",
    "saliency --seed=-1": "--seed is a whole number from 0 to 2**32 - 1, not -1",
    "saliency --split all": "explain: argument --split: invalid choice: 'all'",
    "saliency --count 0": "--count is a number of images, not 0",
    "class_image --split val": "class_image makes its own image: leave out --images, --split and --seed",
    "class_image --target label": "--target label needs images; name a class",
    "class_image --option step=3": "class_image has no option 'step'; did you mean steps?",
    "class_image --option steps=few": "class_image: steps is a whole number, not 'few'",
    "class_image --option blur=much": "class_image: blur is a number, not 'much'",
    "class_image --option fourier=yes": "class_image: fourier is true or false, not 'yes'",
    "class_image --option steps": "--option is NAME=VALUE, such as steps=200, not steps",
    "saliency --nope": "explain: unrecognized arguments: --nope; see convkit explain --help",
}


@pytest.mark.parametrize(("words", "said"), BAD.items())
def test_bad_input(words: str, said: str, trained: Path, convkit: Command, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no image")
    Image.new("L", (18, 20)).save(tmp_path / "large.png")
    Image.new("L", (16, 16)).save(tmp_path / "grey.png")
    Image.new("RGB", (16, 16), "red").save(tmp_path / "red.png")
    result = convkit("explain", trained, "--method", *words.split(), "--out", tmp_path / "out")
    assert (result.status, result.out) == (2, "")
    assert result.err.startswith(f"convkit: error: {said}")
    assert result.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_no_method(trained: Path, convkit: Command) -> None:
    result = convkit("explain", trained, "--out", "out")
    said = "convkit: error: explain: the following arguments are required: --method; see convkit explain --help\n"
    assert (result.status, result.err) == (2, said)


def test_nothing_is_overwritten(trained: Path, convkit: Command, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "kept").write_text("x")
    (tmp_path / "empty").mkdir()
    for out in ("mine", "mine/kept"):
        result = convkit("explain", trained, "--method", "saliency", "--out", tmp_path / out)
        assert result.status == 2
        assert result.err.endswith(f"{out} is there already, and not empty; choose another folder with --out\n")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["kept"]
    assert convkit("explain", trained, "--method", "saliency", "--out", tmp_path / "empty", "--count", 1).status == 0


def test_a_network_without_relu(fit: Command, convkit: Command, tmp_path: Path) -> None:
    fit("--trainer.max_epochs", 1, "--model.architecture.activation", "tanh")
    result = convkit("explain", "runs/quickstart", "--method", "guided_backprop", "--out", tmp_path / "out")
    assert result.status == 2
    assert result.err.startswith("convkit: error: guided_backprop acts on ReLUs, and the signal met none; use saliency")


def test_colour_pictures(pictures: Path, convkit: Command, tmp_path: Path) -> None:
    words = [
        "--config",
        "cifar10",
        "--data",
        "arrays",
        "--data.path",
        pictures,
        "--wandb",
        "off",
        "--trainer.max_epochs",
        1,
    ]
    assert convkit("fit", *words, "--name", "c", "--model.architecture.depth", 8).status == 0
    manifest = explained(convkit, "runs/c", "--method", "guided_grad_cam", "--count", 2, "--out", tmp_path / "out")
    assert pixels(tmp_path / "out" / manifest["images"][0]["map"]).shape == (16, 16, 3)
    assert {row["target"] for row in manifest["images"]} <= {"r", "g", "b"}


def test_help_needs_no_torch(capfd: pytest.CaptureFixture[str]) -> None:
    code = (
        "import sys; from convkit.cli.front import main; main(['explain', '--help']);"
        "assert not {'torch', 'lightning', 'numpy'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "guided_backprop" in done.stdout


def test_help_of_a_method(convkit: Command) -> None:
    text = convkit("explain", "--method", "occlusion", "--help").out
    assert text.startswith("occlusion: ")
    assert "--option batch_size=64" in text
    assert "--stage NAME --unit N" in text
