"""The command line in this process, and one small run that tests read and none changes."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from convkit.cli.front import main

# Digits at 16×16, the smallest that LeNet takes: an epoch of 11 steps in a tenth of a second.
SMALL = ["--config", "quickstart", "--data.size", "16", "--data.batch_size", "128", "--wandb", "off"]


class Result(NamedTuple):
    status: int
    out: str
    err: str


Command = Callable[..., Result]


@pytest.fixture
def convkit(capfd: pytest.CaptureFixture[str]) -> Command:
    """``convkit("fit", ...)`` in this process, with what it printed."""

    def call(*words: object) -> Result:
        capfd.readouterr()
        status = main([str(word) for word in words])
        return Result(status, *capfd.readouterr())

    return call


@pytest.fixture
def fit(convkit: Command) -> Command:
    """A fit of LeNet on small digits that must succeed."""

    def call(*words: object) -> Result:
        result = convkit("fit", *SMALL, *words)
        assert result.status == 0, result.err
        return result

    return call


@pytest.fixture
def process() -> Callable[..., subprocess.Popen[str]]:
    """``convkit`` as a process of its own, with pipes."""

    def start(*words: object, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "convkit.cli.front", *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )

    return start


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs go into the test's own folder."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a finished run: LeNet, small digits, two epochs, tested at the end. For reading only."""
    runs = tmp_path_factory.mktemp("trained") / "runs"
    options = ["--runs", str(runs), "--trainer.max_epochs", "2", "--model.schedule.lr", "0.05"]
    assert main(["fit", *SMALL, *options]) == 0
    return runs / "quickstart" / "1"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """An ``.npz`` of 90 + 31 colour images of 16×16 in three classes, told apart by the brightest channel."""
    random = np.random.RandomState(0)

    def split(count: int) -> tuple[np.ndarray, np.ndarray]:
        targets = np.arange(count) % 3
        images = random.randint(0, 100, (count, 16, 16, 3))
        images[np.arange(count), :, :, targets] += 100
        return images.astype(np.uint8), targets

    (x_train, y_train), (x_test, y_test) = split(90), split(31)
    path = tmp_path / "pictures.npz"
    np.savez(path, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test, class_names=["r", "g", "b"])
    return path


@pytest.fixture
def named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """Options for small digits whose classes are called zero to nine; other processes find them, too."""
    (tmp_path / "named_digits.py").write_text(
        "from convkit.datasets.digits import Digits\n"
        "class Named(Digits):\n"
        "    class_names = 'zero one two three four five six seven eight nine'.split()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return "--data", "named_digits.Named", "--data.size", "16"


@pytest.fixture(scope="session")
def evolved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three epochs with strips of its features. For reading only."""
    runs = tmp_path_factory.mktemp("evolved") / "runs"
    options = ["--runs", str(runs), "--trainer.max_epochs", "3", "--model.schedule.lr", "0.05", "--tags+=watched",
               "--trainer.callbacks+=FeatureEvolution", "--trainer.callbacks.epochs", "[1,2,3]"]  # fmt: skip
    assert main(["fit", *SMALL, *options]) == 0
    return runs / "quickstart" / "1"


@pytest.fixture(scope="session")
def html(evolved: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("page") / "page.html"
    assert main(["report", str(evolved), "--out", str(out)]) == 0
    return out
