"""``--model.init_from`` and ``--model.fresh``: what a fit prints and keeps of its start."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import torch

from convkit.run import Run

SHORT = ("--trainer.max_epochs", 1, "--test_at_end", "false", "--name", "x")
# A rate that moves no weight in float32.
STILL = ("--model.schedule.lr", 1e-30, "--model.schedule.weight_decay", 0)
HEAD = ["fc7.weight", "fc7.bias"]


def weights(run: Path | str, name: str = "last") -> dict[str, Any]:
    contents = torch.load(Path(run) / "checkpoints" / f"{name}.ckpt", weights_only=True)
    return {key.removeprefix("net."): value for key, value in contents["state_dict"].items()}


def same(run: Path | str, other: Path) -> set[str]:
    """The keys whose tensors the last checkpoint of ``run`` shares with the best of ``other``."""
    theirs = weights(other, "best")
    return {key for key, value in weights(run).items() if torch.equal(value, theirs[key])}


def test_a_fit_tells_and_keeps_what_it_started_from(fit, trained: Path) -> None:
    out = fit("--model.init_from", trained, *SHORT, *STILL).out
    assert [line for line in out.splitlines() if "started" in line] == [f"started from {trained}: 10 tensors loaded"]
    assert out.index("started from") < out.index("epoch 1/1")
    best = (trained / "checkpoints/best.ckpt").resolve()
    assert json.loads(Path("runs/x/1/init_from.json").read_text()) == {
        "init_from": str(trained),
        "path": str(best),
        "sha256": hashlib.sha256(best.read_bytes()).hexdigest(),
        "loaded": list(weights(trained)),
        "fresh": [],
        "skipped": [],
    }
    assert same("runs/x/1", trained) == set(weights(trained))
    assert Run.open("runs/x").config["model"]["init_from"] == str(trained)


@pytest.mark.parametrize("fresh", [("--model.fresh", "[fc6, head]"), ("--model.fresh+=fc6", "--model.fresh+=head")])
def test_stages_start_anew(fit, trained: Path, fresh: tuple[str, ...]) -> None:
    out = fit("--model.init_from", trained / "checkpoints/best.ckpt", *fresh, *SHORT, *STILL).out
    line = ": 6 tensors loaded; fresh: fc6 (fc6.weight, fc6.bias), head (fc7.weight, fc7.bias)\n"
    assert line in out
    record = json.loads(Path("runs/x/1/init_from.json").read_text())
    assert record["fresh"] == ["fc6.weight", "fc6.bias", *HEAD]
    assert same("runs/x/1", trained) == set(record["loaded"]) == set(weights(trained)) - set(record["fresh"])
    assert Run.open("runs/x").config["model"]["fresh"] == ["fc6", "head"]


def test_other_labels_start_a_new_classifier(fit, convkit, trained: Path, named: tuple[str, ...]) -> None:
    out = fit(*named, "--model.init_from", trained, *SHORT, *STILL).out
    assert f"started from {trained}: 8 tensors loaded; fresh: head (fc7.weight, fc7.bias), for other classes\n" in out
    assert json.loads(Path("runs/x/1/init_from.json").read_text())["fresh"] == HEAD
    assert same("runs/x/1", trained) == set(weights(trained)) - set(HEAD)
    words = ("--config", "quickstart", *named, "--model.init_from", trained, "--name", "y")
    for command in ("test", "validate", "predict"):
        status, _, err = convkit(command, *words)
        assert status == 2
        assert err.startswith(f"convkit: error: the classifier in {trained} tells 0, 1, 2, … apart, and the data's ")
        assert err.endswith(" classes are zero, one, two, …; convkit fit trains a new one\n")
    assert not Path("runs/y").exists()


def test_another_number_of_classes_and_of_channels(convkit, trained: Path, pictures: Path) -> None:
    shutil.copytree(trained, "copy")
    status, _, err = convkit(
        "fit", "--config", "quickstart", "--data", "arrays", "--data.path", pictures, "--model.init_from", "copy",
        "--model.fresh", "conv1", "--name", "y", "--wandb", "off", "--trainer.max_epochs", 1, "--test_at_end", "false",
    )  # fmt: skip
    assert (status, err) == (0, "")
    assert json.loads(Path("runs/y/1/init_from.json").read_text())["fresh"] == ["conv1.weight", "conv1.bias", *HEAD]


def test_a_resumed_fit_starts_from_its_checkpoint_alone(fit, convkit, trained: Path) -> None:
    shutil.copytree(trained, "source")
    fit("--model.init_from", "source", "--model.fresh", "head", *SHORT)
    shutil.rmtree("source")
    status, out, err = convkit("fit", "--ckpt_path", "runs/x", "--trainer.max_epochs", 2, "--wandb", "off")
    assert (status, err) == (0, "")
    assert "started from" not in out
    assert not Path("runs/x/2/init_from.json").exists()
    assert convkit("test", "--ckpt_path", "runs/x/1").status == 0
    assert Run.open("runs/x/2").model.start is None


def test_no_network_is_one_line(convkit, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def nobody(*_: object, **__: object) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub, "get_session", lambda: type("Session", (), {"head": nobody}))
    words = ("--config", "quickstart", "--wandb", "off", "--model.init_from", "timm:resnet10t.c3_in1k")
    status, _, err = convkit("fit", *words)
    assert status == 2
    assert err.startswith("convkit: error: timm:resnet10t.c3_in1k cannot be downloaded (Name or service not known); ")
    assert err.count("\n") == 1
    assert not Path("runs").exists()
