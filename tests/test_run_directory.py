"""Run directories: numbers, which checkpoint a path stands for, and errors that say where the nearest one is."""

import os
import threading
from pathlib import Path

import pytest

from convkit.errors import UserError
from convkit.run_directory import allocate, checkpoint_at, find_checkpoint, point_latest


def made(folder: Path, number: int, *checkpoints: str) -> Path:
    run = folder / "runs" / "x" / str(number)
    (run / "checkpoints").mkdir(parents=True)
    (run / "config.yaml").write_text("")
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


@pytest.mark.parametrize("given", ["runs/x", "runs/x/latest", "runs/x/1", "runs/x/1/checkpoints/last.ckpt", "w.pth"])
def test_weights_to_start_from_lie_in_runs_and_files(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = made(tmp_path, 1, "best.ckpt", "last.ckpt")
    Path("w.pth").touch()
    expected = Path(given) if Path(given).is_file() else (run / "checkpoints/best.ckpt").resolve()
    assert checkpoint_at(given) == expected


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("runs", r"runs is not a run: it has no config\.yaml"),
        ("runs/x/2", "runs/x/2 has no checkpoint; was its fit stopped"),
        ("wieghts.pth", r"there is no checkpoint or run wieghts\.pth; did you mean weights\.pth\?"),
        ("runs/x/1/checkpoints/lst.ckpt", r"did you mean runs/x/1/checkpoints/last\.ckpt\?"),
        ("zzz/zzz.pth", r"there is no checkpoint or run zzz/zzz\.pth$"),
    ],
)
def test_what_is_neither_run_nor_file(given: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made(tmp_path, 1, "last.ckpt")
    made(tmp_path, 2)
    Path("weights.pth").touch()
    with pytest.raises(UserError, match=said):
        checkpoint_at(given)
