"""Run directories: numbers, what a path stands for, and errors that say where the nearest one is."""

import os
import threading
from pathlib import Path

import pytest
import torch
import yaml

from convkit.classifier import Classifier
from convkit.datasets.digits import Digits
from convkit.errors import UserError
from convkit.run import Run, allocate, find_checkpoint, point_latest

CONFIG = {
    "model": {
        "architecture": {"class_path": "convkit.architectures.resnet_cifar.ResNetCifar", "init_args": {"depth": 8}},
        "schedule": {"class_path": "convkit.schedules.plateau.Plateau", "init_args": {"lr": 0.5}},
        "init_from": "weights-that-are-gone.pth",
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


def test_numbers_go_on_from_the_highest(tmp_path: Path) -> None:
    assert [allocate(tmp_path, "x").name for _ in range(3)] == ["1", "2", "3"]
    (tmp_path / "x" / "2").rmdir()
    (tmp_path / "x" / "17").mkdir()
    (tmp_path / "x" / "notes").mkdir()
    assert allocate(tmp_path, "x") == tmp_path / "x" / "18"
    assert allocate(tmp_path, "y") == tmp_path / "y" / "1"


def test_no_two_allocations_get_the_same_directory(tmp_path: Path) -> None:
    got: list[Path] = []
    start = threading.Barrier(8)

    def take() -> None:
        start.wait()
        got.extend(allocate(tmp_path, "x") for _ in range(10))

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == len(set(got)) == 80


def test_nowhere_to_put_a_run(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(UserError, match=r"no run can be made under .*runs/x: Not a directory"):
        allocate(tmp_path / "runs", "x")


def test_latest_moves_and_never_dangles(tmp_path: Path) -> None:
    for number in (1, 2):
        made(tmp_path, number)
        assert os.readlink(tmp_path / "runs/x/latest") == str(number)
    assert sorted(entry.name for entry in (tmp_path / "runs/x").iterdir()) == ["1", "2", "latest"]


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


def test_checkpoints_by_name_and_by_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    older, newer = (made(tmp_path, number, "best.ckpt", "last.ckpt") for number in (1, 2))
    for age, run in ((100, older), (50, newer)):
        for file in (run / "checkpoints").iterdir():
            stamp = file.stat().st_mtime - age
            os.utime(file, (stamp, stamp))
    assert find_checkpoint("last", "runs", None) == Path("runs/x/2/checkpoints/last.ckpt")
    assert find_checkpoint("best", "runs", "x") == Path("runs/x/2/checkpoints/best.ckpt")
    assert find_checkpoint("runs/x/1", "runs", None) == (older / "checkpoints/last.ckpt").resolve()
    assert find_checkpoint("runs/x", "runs", None, "best") == (newer / "checkpoints/best.ckpt").resolve()
    assert find_checkpoint("runs/x/1/checkpoints/best.ckpt", "", None) == Path("runs/x/1/checkpoints/best.ckpt")
    with pytest.raises(UserError, match="there is no last checkpoint under runs/y; name a file or a run"):
        find_checkpoint("last", "runs", "y")


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
