"""What is shown to TensorBoard, read back with its own reader; W&B's part is in test_offline_run."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from convkit.cli.front import main
from convkit.run import Run
from convkit.tracking import show
from convkit.tracking.show import Place, shares


def events(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder), size_guidance={"images": 0, "scalars": 0, "tensors": 0}).Reload()


def test_a_fit_with_tensorboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    options = "{save_dir: tb, name: '', version: ''}"
    logger = f"{{class_path: lightning.pytorch.loggers.TensorBoardLogger, init_args: {options}}}"
    words = ["--data.size=16", "--data.batch_size=128", "--trainer.max_epochs=2", "--wandb=off", "--test_at_end=false"]
    watched = ["--trainer.callbacks+=FeatureEvolution", f"--trainer.logger={logger}"]
    assert main(["fit", "--config", "quickstart", *words, *watched]) == 0
    found = events(tmp_path / "tb")
    for key in ("val/top1_error", "train/loss", "lr/all", "time/epoch"):
        rows = [(row["step"], row[key]) for row in Run.open("runs/quickstart").metrics if key in row]
        assert [(one.step, one.value) for one in found.Scalars(key)] == [(s, pytest.approx(v)) for s, v in rows]
    for key in ("evolution/conv1", "evolution/conv1_strip", "filters/first_layer"):
        assert [one.step for one in found.Images(key)] == [11, 22]
    assert {"val/confusion", "val/mistakes"} <= {*found.Tags()["images"]}
    texts = {tag: found.Tensors(tag)[0].tensor_proto.string_val[0].decode() for tag in found.Tags()["tensors"]}
    assert "class_path: convkit.architectures.lenet.LeNet" in texts["config/text_summary"]
    assert "sha256: " in texts["made_with/text_summary"]
    assert texts["val/classes/text_summary"].startswith("| class | images | accuracy |\n| --- | --- | --- |\n| 0 | ")
    assert "image" not in texts["val/worst/text_summary"].splitlines()[0]


def test_confusion_as_shares_of_each_class(tmp_path: Path) -> None:
    matrix = torch.tensor([[3, 1], [0, 0]])
    page = np.asarray(shares(matrix))
    assert page.shape == (480, 480)
    corners = [page[10, 10], page[10, -10], page[-10, 10], page[-10, -10]]
    assert corners == [64, 191, 255, 255]  # 255 · (1 − 3/4), 255 · (1 − 1/4), and nothing of a class without images
    assert shares(torch.ones(1000, 1000)).size == (1000, 1000)
    logger = TensorBoardLogger(str(tmp_path), name="", version="")
    show.confusion([logger], Place("val/confusion", 5, 1), matrix, ["a", "b"])
    logger.finalize("success")
    [image] = events(tmp_path).Images("val/confusion")
    assert image.step == 5
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(image.encoded_image_string)).convert("L")), page)


def test_names_with_markup_stay_text(tmp_path: Path) -> None:
    logger = TensorBoardLogger(str(tmp_path), name="", version="")
    show.table([logger], Place("t", 0, 1), ["class", "accuracy"], [["<script>a|b", 50.0]])
    logger.finalize("success")
    text = events(tmp_path).Tensors("t/text_summary")[0].tensor_proto.string_val[0].decode()
    assert text.splitlines()[-1] == "| &lt;script>a\\|b | 50.000 |"


def test_others_have_no_place_for_it(tmp_path: Path) -> None:
    logger = CSVLogger(str(tmp_path), name="", version="")
    show.picture([logger], Place("p", 0, 1), Image.new("RGB", (2, 2)))
    show.facts([logger], "made_with", {"a": 1})
    assert not list(tmp_path.iterdir())
