"""A fit with W&B offline, read back with W&B's own reader: everything is in it."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
import wandb
import yaml
from wandb_records import Recorded, recorded

from convkit.cli.front import main
from convkit.run import Run

WORDS = ["fit", "--config", "quickstart", "--data.size=16", "--data.batch_size=128", "--trainer.max_epochs=2"]
EVERYTHING = [
    *WORDS,
    "--trainer.callbacks+=FeatureEvolution",
    "--trainer.callbacks+=GradientNorms",
    "--trainer.log_every_n_steps=4",
    "--wandb_checkpoint=true",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with everything on, in a git repository with one commit and a change since."""
    place = tmp_path_factory.mktemp("tracked")
    (place / "code.py").write_text("a = 1\n")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c"]
    for words in (["init", "-q"], ["add", "code.py"], [*git[1:], "commit", "-qm", "a"]):
        subprocess.run(["git", *words], cwd=place, check=True)
    (place / "code.py").write_text("a = 2\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        assert main(EVERYTHING) == 0
    return place / "runs/quickstart/1"


@pytest.fixture(scope="module")
def found(folder: Path) -> Recorded:
    return recorded(folder)


def test_name_configuration_and_what_it_was_made_with(found: Recorded, folder: Path) -> None:
    assert (found.run["display_name"], found.exit_code) == ("quickstart/1", 0)
    resolved = yaml.safe_load((folder / "config.yaml").read_text())
    for section in ("data", "model", "trainer"):
        assert found.config[section] == resolved[section]
    made = found.config["made_with"]
    assert made == json.loads((folder / "made_with.json").read_text())
    top = folder.parents[2]
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=top, capture_output=True, text=True, check=True).stdout
    assert made["git"] == {"revision": head.strip(), "changed": True}
    assert {(each["kind"], each["name"]) for each in made["plugins"]} == {
        ("architecture", "lenet"),
        ("dataset", "digits"),
        ("schedule", "plateau"),
    }
    assert made["data"]["images"] == {"train": 1295, "val": 143, "test": 359}
    kept = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["convkit"]
    assert kept["made_with"] == made
    assert kept["wandb"] == found.run["run_id"]


def test_every_row_of_the_metrics_against_the_step(found: Recorded, folder: Path) -> None:
    rows = Run.open(folder).metrics
    wanted = {"train/loss", "val/loss", "val/top1_error", "val/top5_error", "test/top1_error", "test/top5_error",
              "lr/all", "time/epoch", "time/images_per_second", *(f"grad_norm/{stage}" for stage in
              ("conv1", "conv3", "fc5", "fc6", "head"))}  # fmt: skip
    assert wanted <= {key for row in rows for key in row}
    for key in wanted:
        here = [(row["step"], row[key]) for row in rows if key in row]
        there = [(row["trainer/global_step"], row[key]) for row in found.rows if key in row]
        assert there == [(step, pytest.approx(value, rel=1e-6)) for step, value in here], key
    assert [row["trainer/global_step"] for row in found.rows if "grad_norm/head" in row] == [4, 8, 11, 12, 16, 20, 22]


def test_minima_and_axis_are_defined(found: Recorded) -> None:
    defined = {each.get("name") or each["glob_name"]: each for each in found.metrics}
    for key in ("train/loss", "val/loss", "val/top1_error", "val/top5_error"):
        assert defined[key]["summary"] == {"min": True}
        assert defined[key]["step_metric"] == "trainer/global_step"
    assert defined["*"]["step_metric"] == "trainer/global_step"


def test_pictures_have_a_slider_over_the_epochs(found: Recorded) -> None:
    for key in ("evolution/conv1", "evolution/conv1_strip", "evolution/fc6", "evolution/settling"):
        assert found.values(f"{key}._type") == ["image-file"] * 2
        assert found.values(f"{key}.caption") == ["epoch 1", "epoch 2"]
    assert found.values("filters/first_layer.caption") == ["epoch 1", "epoch 2"]
    for key in ("evolution/conv1", "filters/first_layer", "val/mistakes", "test/mistakes"):
        for path in found.values(f"{key}.path"):
            assert (found.files / path).read_bytes().startswith(b"\x89PNG")


def test_confusion_classes_and_mistakes(found: Recorded, folder: Path) -> None:
    def table(key: str) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads((found.files / found.last(f"{key}.path")).read_text())
        return loaded

    for split, images in (("val", 143), ("test", 359)):
        cells = table(f"{split}/confusion_table")
        assert cells["columns"] == ["Actual", "Predicted", "nPredictions"]
        assert (len(cells["data"]), sum(count for *_, count in cells["data"])) == (100, images)
        classes = table(f"{split}/classes")
        assert classes["columns"] == ["class", "images", "accuracy"]
        assert sum(count for _, count, _ in classes["data"]) == images
        accuracy = json.loads((folder / f"{split}_classes.json").read_text())
        for name, _, percent in classes["data"]:
            assert percent == pytest.approx(accuracy[name], abs=1e-3)
        worst = table(f"{split}/worst")
        assert worst["columns"] == ["image", "class", "predicted", "probability"]
        assert len(worst["data"]) == 25
        assert all(true != predicted for _, true, predicted, _ in worst["data"])


def test_the_best_checkpoint_is_an_artifact(found: Recorded, folder: Path) -> None:
    [model] = [each for each in found.artifacts if each["type"] == "model"]
    assert "best" in model["aliases"]
    [content] = model["manifest"]["contents"]
    assert content["path"] == "best.ckpt"
    assert Path(content["local_path"]) == folder / "checkpoints/best.ckpt"  # no second copy on the disk


def test_two_fits_in_one_process_are_two_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert main([*WORDS, "--test_at_end=false", "--trainer.max_epochs=1"]) == 0
    runs = [recorded(tmp_path / "runs/quickstart" / number) for number in ("1", "2")]
    assert [run.run["display_name"] for run in runs] == ["quickstart/1", "quickstart/2"]
    assert runs[0].run["run_id"] != runs[1].run["run_id"]
    assert not [each for each in runs[0].artifacts if each["type"] == "model"]  # was not asked for
    assert not runs[0].values("grad_norm/head")
    assert wandb.run is None


@pytest.mark.parametrize("words", [["--wandb=off"], ["--trainer.logger=false"], ["--trainer.fast_dev_run=true"]])
def test_no_tracker_where_none_is_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(wandb, "init", lambda **_: pytest.fail("started"))
    assert main([*WORDS, "--trainer.max_epochs=1", *words]) == 0


def test_disabled_by_its_own_switch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "disabled")
    for mode in ("offline", "online"):
        assert main([*WORDS, "--test_at_end=false", "--trainer.max_epochs=1", f"--wandb={mode}"]) == 0
    assert not list(tmp_path.glob("runs/*/*/wandb"))


def test_a_logger_of_the_users_has_minima_and_the_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")  # theirs sets it, too
    wandb.teardown()  # it reads the environment anew
    theirs = ["--trainer.logger=WandbLogger", "--trainer.logger.offline=true", f"--trainer.logger.save_dir={tmp_path}"]
    assert main([*WORDS, "--test_at_end=false", *theirs, "--wandb_checkpoint=true"]) == 0
    assert wandb.run is not None
    wandb.finish()
    found = recorded(tmp_path)
    minima = {each["name"] for each in found.metrics if each.get("summary") == {"min": True}}
    assert minima == {"train/loss", "val/loss", "val/top1_error", "val/top5_error"}
    [model] = [each for each in found.artifacts if each["type"] == "model"]
    assert [each["path"] for each in model["manifest"]["contents"]] == ["best.ckpt"]
    assert not Path("runs/quickstart/1/wandb").exists()  # no second run of ours
    wandb.teardown()


@pytest.mark.slow
def test_the_first_of_two_ranks_alone_tracks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    two = ["--trainer.devices=2", "--trainer.strategy=ddp", "--trainer.accelerator=cpu"]
    command = ["python", "-m", "convkit.cli.front", *EVERYTHING, *two]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    found = recorded(tmp_path / "runs/quickstart/1")  # one folder, or this fails
    steps = [row["trainer/global_step"] for row in found.rows if "train/loss" in row]
    assert len(steps) == len(set(steps))
    one_rank = found.values("evolution/conv1.caption"), found.values("filters/first_layer.caption")
    assert one_rank == (["epoch 1", "epoch 2"],) * 2
