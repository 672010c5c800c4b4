"""Runs: what a path stands for, and the model, data and metrics in it."""

from pathlib import Path

import pytest
import torch
import yaml

from convkit.classifier import Classifier
from convkit.datasets.digits import Digits
from convkit.errors import UserError
from convkit.run import Run
from convkit.run_directory import point_latest

CONFIG = {
    "model": {
        "architecture": {"class_path": "convkit.architectures.resnet_cifar.ResNetCifar", "init_args": {"depth": 8}},
        "schedule": {"class_path": "convkit.schedules.plateau.Plateau", "init_args": {"lr": 0.5}},
        "init_from": "weights-that-are-gone.pth",
        "fresh": ["head"],
    },
    "data": {"class_path": "convkit.datasets.digits.Digits", "init_args": {"size": 8, "batch_size": 7}},
}


def made(folder: Path, number: int, *checkpoints: str) -> Path:
    run = folder / "runs" / "x" / str(number)
    (run / "checkpoints").mkdir(parents=True)
    (run / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    for name in checkpoints:
        (run / "checkpoints" / name).write_bytes(b"")
    point_latest(run)
    return run


def test_what_a_path_stands_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    first, second = (made(tmp_path, number, "best.ckpt", "last.ckpt").resolve() for number in (1, 2))
    assert Run.open("runs/x").directory == Run.open("runs/x/latest").directory == second
    assert Run.open("runs/x/1").directory == first
    assert Run.open("runs/x/1").checkpoint == first / "checkpoints/best.ckpt"
    opened = Run.open("runs/x/1/checkpoints/last.ckpt")
    assert (opened.directory, opened.checkpoint) == (first, first / "checkpoints/last.ckpt")
    (second / "checkpoints/best.ckpt").unlink()
    assert Run.open("runs/x").checkpoint == second / "checkpoints/last.ckpt"
    (second / "checkpoints/last.ckpt").unlink()
    with pytest.raises(UserError, match="has no checkpoint; was its fit stopped before the first epoch ended"):
        _ = Run.open("runs/x").checkpoint


def test_no_run_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made(tmp_path, 1)
    with pytest.raises(UserError, match=r"there is no run runs/y; did you mean runs/x\?"):
        Run.open("runs/y")
    with pytest.raises(UserError, match=r"runs is not a run: it has no config\.yaml"):
        Run.open("runs")


def test_model_and_data_come_from_the_configuration(tmp_path: Path) -> None:
    run = made(tmp_path, 1)
    built = Run.open(run)
    assert isinstance(built.data, Digits)
    assert built.data.batch_size == 7
    net = built._built[0].net
    state = {f"net.{key}": torch.full_like(value, 2) for key, value in net.state_dict().items()}
    torch.save({"state_dict": state, "global_step": 3}, run / "checkpoints/best.ckpt")
    model = Run.open(run).model
    assert isinstance(model, Classifier)
    assert model.schedule.lr == 0.5
    assert not model.training
    assert all((value == 2).all() for value in model.net.state_dict().values())


def test_a_configuration_of_another_time(tmp_path: Path) -> None:
    run = made(tmp_path, 1)
    config = {**CONFIG, "data": {"class_path": "convkit.datasets.digits.Digits", "init_args": {"gone": 1}}}
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(UserError, match=r"the run's configuration cannot be read: .*'gone' is not accepted"):
        _ = Run.open(run).data
    (run / "config.yaml").write_text("[")
    with pytest.raises(UserError, match=r"config\.yaml cannot be read"):
        _ = Run.open(run).config


def test_metrics_are_rows_without_their_empty_columns(tmp_path: Path) -> None:
    run = made(tmp_path, 1)
    assert Run.open(run).metrics == []
    (run / "metrics.csv").write_text("step,train/loss,val/loss\n1,0.5,\n2,,0.25\n")
    assert Run.open(run).metrics == [{"step": 1.0, "train/loss": 0.5}, {"step": 2.0, "val/loss": 0.25}]
    assert repr(Run.open(run)) == f"Run({str(run.resolve())!r})"
