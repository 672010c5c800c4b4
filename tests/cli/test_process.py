"""Where the process itself is the matter: signals from outside, two ranks, a terminal, a package put beside."""

import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import termios
from pathlib import Path

import pytest
import torch

from convkit import plugins
from convkit.run import Run

FIT = ["fit", "--config", "quickstart", "--data.size=16", "--data.batch_size=128", "--wandb=off"]
TWO = ["--trainer.devices=2", "--trainer.accelerator=cpu", "--trainer.strategy=ddp"]


def timeless(row: dict[str, float]) -> dict[str, float]:
    """A row of metrics, but for how long it took."""
    return {key: value for key, value in row.items() if not key.startswith("time/")}


@pytest.mark.parametrize(
    ("signum", "status"), [pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow), (signal.SIGTERM, 143)]
)
def test_a_signal_leaves_a_checkpoint_to_go_on_from(process, convkit, signum: int, status: int) -> None:
    running = process(*FIT, "--trainer.max_epochs=5000", "--model.schedule.patience=5000")
    try:
        while not running.stdout.readline().startswith("epoch 2/"):
            assert running.poll() is None
        running.send_signal(signum)
        out, err = running.communicate(timeout=60)
    finally:
        running.kill()
    assert running.returncode == status, err
    assert err == "\nfinishing this step, then saving; once more stops at once\n"
    stopped, following = out.splitlines()[-2:]
    step = re.fullmatch(rf"stopped by {signal.Signals(signum).name} at step (\d+); go on with", stopped)
    assert step
    assert following == "  convkit fit --ckpt_path runs/quickstart/1/checkpoints/last.ckpt"
    epoch = int(step[1]) // 11 + 2
    assert convkit("fit", "--ckpt_path", "last", "--wandb", "off", "--trainer.max_epochs", epoch).status == 0
    assert Run.open("runs/quickstart").metrics[-1]["step"] == 11 * epoch


def test_two_ranks_are_one_fit(process, convkit, trained: Path, named: tuple[str, ...]) -> None:
    # 1,295 training, 143 validation and 359 test images: none divides by two, and a batch of 127 does not either.
    options = [*FIT[1:], *named, "--data.batch_size=127", "--trainer.max_epochs=2", "--test_at_end=true"]
    # From a network for other classes, so that each rank begins with a classifier of its own.
    options += ["--model.init_from", str(trained), "--model.fresh", "fc6"]
    assert convkit("fit", *options, "--name", "one").status == 0
    running = process("fit", *options, *TWO, "--name", "two", "--wandb", "offline")
    out, err = running.communicate(timeout=300)
    assert (running.returncode, err) == (0, "")
    assert "11 steps an epoch, cpu × 2" in out
    assert out.count("result: ") == out.count("epoch 1/2") == out.count("started from ") == 1
    assert sorted(path.name for path in Path("runs/two").iterdir()) == ["1", "latest"]
    assert len(list(Path("runs/two/1/wandb").glob("offline-run-*"))) == 1
    one, two = Run.open("runs/one"), Run.open("runs/two")
    started = [json.loads((run.directory / "init_from.json").read_text()) for run in (one, two)]
    assert started[0] == started[1]
    assert started[0]["fresh"] == ["fc6.weight", "fc6.bias", "fc7.weight", "fc7.bias"]
    assert len(one.metrics) == len(two.metrics)
    for left, right in zip(one.metrics, two.metrics, strict=True):
        assert timeless(left) == pytest.approx(timeless(right), abs=1e-4)
    for name in ("val", "test"):
        confusions = [(run.directory / f"{name}_confusion.csv").read_text() for run in (one, two)]
        assert confusions[0] == confusions[1]
    for key, value in one.model.state_dict().items():
        torch.testing.assert_close(two.model.state_dict()[key], value, atol=1e-5, rtol=0)


@pytest.mark.slow
def test_two_ranks_share_the_features(process, convkit) -> None:
    options = [
        *FIT[1:],
        "--data.augment=null",
        "--data.batch_size=127",
        "--trainer.max_epochs=2",
        "--cache_features=true",
    ]
    assert convkit("fit", *options, "--name", "one").status == 0
    running = process("fit", *options, *TWO, "--name", "two")
    _, err = running.communicate(timeout=300)
    assert (running.returncode, err) == (0, "")
    one, two = Run.open("runs/one"), Run.open("runs/two")
    for left, right in zip(one.metrics, two.metrics, strict=True):
        assert timeless(left) == pytest.approx(timeless(right), abs=1e-4)
    for key, value in one.model.state_dict().items():
        torch.testing.assert_close(two.model.state_dict()[key], value, rtol=0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("option", "message"),
    [
        (
            "--model.schedule.monitor=val/acc",
            "the schedule watches 'val/acc', which nothing logs; choose from train/loss, val/loss",
        ),
        ("--data.root=nowhere", "MNIST is not under 'nowhere'"),
    ],
)
def test_a_mistake_on_two_ranks_is_one_line(process, option: str, message: str) -> None:
    running = process(*FIT[:3], *TWO, "--wandb=off", *(["--data=mnist"] if "root" in option else []), option)
    _, err = running.communicate(timeout=300)
    assert running.returncode == 2
    assert err.startswith("convkit: error: ")
    assert err.count("\n") == 1
    assert message in err
    assert not Path("runs").exists()


def test_a_bar_on_a_terminal(tmp_path: Path) -> None:
    leader, follower = pty.openpty()
    termios.tcsetwinsize(follower, (40, 160))
    running = subprocess.Popen(
        [sys.executable, "-m", "convkit.cli.front", *FIT, "--trainer.max_epochs=2", "--test_at_end=false"],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env={**os.environ, "TERM": "xterm"},
    )
    os.close(follower)
    screen = b""
    try:
        while select.select([leader], [], [], 300)[0]:
            try:
                screen += os.read(leader, 65536)
            except OSError:  # the process has closed its end
                break
    finally:
        os.close(leader)
    assert running.wait(timeout=60) == 0
    text = screen.decode()
    assert "\r" in text
    bar = [part for part in text.split("\r") if "val/top1_error=" in part][-1]
    assert re.search(r"train/loss=[\d.]+.*val/loss=[\d.]+.*val/top1_error=[\d.]+.*lr/all=0.01", bar)
    assert re.search(r"[\d.]+it/s", text)
    assert "epoch 1/2" not in text  # the plain lines are for files
    assert "result: " in text


MODULE = """
from torch import nn
from convkit import ConvNet

class Tiny(ConvNet):
    stages = {"conv1": "conv", "head": "head"}

    def __init__(self, num_classes: int, image_shape: tuple[int, int, int], width: int = 4) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(image_shape[0], width, 3), nn.Linear(width, num_classes)

    def forward(self, images):
        return self.head(self.conv(images).relu().mean((2, 3)))
"""
PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "convkit-tiny"
version = "0.7"
[project.entry-points."convkit.architectures"]
tiny = "convkit_tiny:Tiny"
[tool.hatch.build.targets.wheel]
only-include = ["convkit_tiny.py"]
"""


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a package of somebody else's, built and installed as pip does it."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("target")
    (source / "convkit_tiny.py").write_text(MODULE)
    (source / "pyproject.toml").write_text(PROJECT)
    python = ["-m", "pip", "install", "--no-deps", "--no-build-isolation", "--no-index", "--quiet"]
    done = subprocess.run([sys.executable, *python, "--target", target, source], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return target


def finished(running: "subprocess.Popen[str]") -> tuple[int, str, str]:
    out, err = running.communicate(timeout=300)
    return running.returncode, out, err


def test_a_strangers_plugin_is_listed_and_trained(process, stranger: Path) -> None:
    status, out, err = finished(process("plugins", "--json", PYTHONPATH=str(stranger)))
    assert (status, err) == (0, "")
    [row] = [row for row in json.loads(out) if row["distribution"] != "convkit"]
    assert row == {
        "kind": "architecture",
        "name": "tiny",
        "distribution": "convkit-tiny",
        "version": "0.7",
        "target": "convkit_tiny:Tiny",
        "note": "",
    }
    words = ["--model.architecture=tiny", "--model.architecture.width=5", "--trainer.max_epochs=1"]
    status, out, err = finished(process(*FIT, *words, PYTHONPATH=str(stranger)))
    assert (status, err) == (0, "")
    assert "Tiny (110 parameters) on Digits" in out
    config = Run.open("runs/quickstart").config["model"]["architecture"]
    assert config == {"class_path": "convkit_tiny.Tiny", "init_args": {"width": 5}}


def test_a_broken_plugin_breaks_only_its_own_choice(
    convkit, fit, stranger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(stranger, broken, ignore=shutil.ignore_patterns("__pycache__"))
    (broken / "convkit_tiny.py").write_text("class Tiny(:\n")
    monkeypatch.syspath_prepend(broken)
    monkeypatch.delitem(sys.modules, "convkit_tiny", raising=False)
    plugins.installed.cache_clear()
    try:
        assert "convkit_tiny:Tiny" in convkit("plugins").out
        assert "tiny" in convkit("fit", "--help").out
        assert convkit("fit", "--model.architecture.help", "lenet").status == 0
        fit("--trainer.max_epochs", 1)
        assert convkit("test", "--ckpt_path", "runs/quickstart").status == 0
        status, _, err = convkit("fit", "--config", "quickstart", "--model.architecture", "tiny")
        assert status == 2
        assert err == (
            "convkit: error: architecture 'tiny' of convkit-tiny 0.7 (convkit_tiny:Tiny) cannot be loaded: "
            "SyntaxError: invalid syntax (convkit_tiny.py, line 1); repair or uninstall convkit-tiny\n"
        )
        assert sorted(path.name for path in Path("runs/quickstart").iterdir()) == ["1", "latest"]
    finally:
        plugins.installed.cache_clear()
