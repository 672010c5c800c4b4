"""What is measured with: small runs of the two programs, and their mistakes in one line."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn

PLUGIN = Path(__file__).parents[1]


def program(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, PLUGIN / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def arrays(folder: Path) -> Path:
    random = np.random.RandomState(0)
    images = {f"x_{part}": random.randint(0, 256, (24, 32, 32, 3), dtype=np.uint8) for part in ("train", "test")}
    np.savez(folder / "images.npz", y_train=np.arange(24) % 2, y_test=np.arange(24) % 2, **images)
    return folder / "images.npz"


@pytest.mark.parametrize(
    ("only", "expected"),
    [(None, [("airbench", 2), ("resnet20", 2), ("resnet20", 10)]), ("airbench:10", [("airbench", 10)])],
)
def test_contestants_of_the_race(only: str | None, expected: list[tuple[str, int]]) -> None:
    assert program("race").contestants(only) == expected


@pytest.mark.parametrize("only", ["airbench", "airbench:0", "airbench:many", "vgg:2", ":2"])
def test_a_contestant_that_is_none(only: str, tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, str(PLUGIN / "race.py"), str(tmp_path), "--only", only], capture_output=True, text=True
    )
    assert ended.returncode == 2
    last = ended.stderr.splitlines()[-1]
    assert last.endswith(f"'{only}' is no contestant: name and epochs, such as airbench:2 or resnet20:10"), last


def test_seconds_to_a_target(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    timed = program("time_to")
    words = [str(arrays(tmp_path)), "--runs", "2", "--epochs", "1", "--precision", "32-true", "--batch-size", "12"]
    timed.main([*words, "--target", "0"])
    *runs, verdict, beside = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in runs if line.startswith("seed")] == ["seed 0", "seed 1"]
    assert verdict.startswith("0 % reached: ")
    assert ", n = 2, " in verdict
    assert beside.endswith("3.83 s without (Jordan 2024)")


def test_six_views_beside_each_by_itself() -> None:
    timed = program("time_to")
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GELU(), nn.Flatten(), nn.Linear(4 * 36, 5))
    images = torch.randn(6, 3, 8, 8)
    mirrored = np.pad(images.numpy(), ((0, 0), (0, 0), (1, 1), (1, 1)), mode="reflect")
    views, shares = [], []
    for at, share in ((1, 1 / 4), (0, 1 / 8), (2, 1 / 8)):
        view = torch.from_numpy(mirrored[:, :, at : at + 8, at : at + 8].copy())
        views += [view, view.flip(-1)]
        shares += [share, share]
    expected = sum(share * net(view) for share, view in zip(shares, views, strict=True))
    torch.testing.assert_close(timed.six_views(net, images), expected)
