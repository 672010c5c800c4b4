"""What a plugin of somebody else's does wrong when it is chosen is one line that names it, and hurts nothing else."""

import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
from test_new_plugin import HOSTILE

from conftest import SMALL, Command
from convkit import plugins
from convkit.plugin_health import OtherVersion
from convkit.run import Run
from test_plugins import Install, install  # noqa: F401 - a fixture

# ruff: noqa: F811

SOURCE = """
import torch
from convkit import ConvNet, Schedule
five = 5
def two(net, images): return images
def mapped(net, images, targets): return images.abs()
def raises(net, images, targets): raise KeyError("oops")
class Raises(ConvNet):
    def __init__(self, num_classes: int, image_shape: tuple[int, int, int]) -> None:
        raise KeyError("width")
class Lost(Schedule):
    def optimizers(self, net, trainer): raise KeyError("rate")
"""


@pytest.fixture
def kinds(install: Install) -> Path:
    folder = install(
        "kinds-net", "1.5",
        explainers={name: f"kinds_net:{name}" for name in ("five", "two", "raises", "mapped")},
        architectures={"raising": "kinds_net:Raises"}, schedules={"lost": "kinds_net:Lost"},
    )  # fmt: skip
    (folder / "kinds_net.py").write_text(SOURCE)
    return folder


@pytest.mark.parametrize(
    ("method", "line"),
    [
        ("five", "cannot be used: the target is a int; name a function"),
        ("two", "cannot be used: takes too little; give it (net, images, targets, *, options)"),
        ("raises", "raised KeyError: 'oops' (kinds_net.py, line 7); --debug shows where"),
    ],
)
def test_an_explainer(kinds: Path, trained: Path, convkit: Command, method: str, line: str) -> None:
    result = convkit("explain", trained, "--method", method, "--count", 2, "--out", "maps")
    assert result.status == 2
    assert result.err == f"convkit: error: explainer {method!r} of kinds-net 1.5 (kinds_net:{method}) {line}\n"
    assert not Path("maps").exists()
    if method != "raises":
        assert line in convkit("explain", "--method", method, "--help").err


@pytest.mark.parametrize(
    ("option", "name", "line"),
    [
        ("--model.architecture", "raising", "architecture 'raising' of kinds-net 1.5 (kinds_net:Raises) raised "
         "KeyError: 'width' (kinds_net.py, line 10); --debug shows where"),
        ("--model.schedule", "lost", "schedule 'lost' of kinds-net 1.5 (kinds_net:Lost) raised "
         "KeyError: 'rate' (kinds_net.py, line 12); --debug shows where"),
    ],
)  # fmt: skip
def test_what_it_raises_in_a_fit(kinds: Path, convkit: Command, option: str, name: str, line: str) -> None:
    result = convkit("fit", *SMALL, option, name)
    assert (result.status, result.err) == (2, f"convkit: error: {line}\n")
    assert not Path("runs/quickstart/1").exists()
    told = convkit("--debug", "fit", *SMALL, option, name).err
    assert told.startswith("Traceback")
    assert told.endswith(f"convkit: error: {line}\n")


def test_the_explainer_is_recorded(kinds: Path, trained: Path, convkit: Command) -> None:
    result = convkit("explain", trained, "--method", "mapped", "--count", 2, "--out", "maps", "--json")
    assert result.status == 0, result.err
    made = json.loads(Path("maps/manifest.json").read_text())["explainer"]
    assert (made["name"], made["distribution"], made["version"]) == ("mapped", "kinds-net", "1.5")


def test_an_endless_import_is_named_and_can_be_ended(
    install: Install, convkit: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = install("endless-net", architectures={"endless": "endless_net:Net"})
    # Ctrl-C comes in the midst of it; a minute would end it where no Ctrl-C does.
    (folder / "endless_net.py").write_text(
        "import os, signal, time\ntime.sleep(0.5)\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(60)"
    )
    monkeypatch.setattr(plugins, "PATIENCE", 0.05)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where tests run in the background
    try:
        result = convkit("fit", *SMALL, "--model.architecture", "endless")
    finally:
        signal.signal(signal.SIGINT, before)
    assert result.status == 130
    assert result.err.splitlines()[-2:] == [
        "still importing architecture 'endless' of endless-net 1.0 (endless_net:Net); Ctrl-C ends it",
        "convkit: interrupted",
    ]


def recorded_as(place: Path, **made: Any) -> None:
    one = {"kind": "architectures", "name": "birds", "distribution": "torch", "version": "0.1", "path": "x:Y", **made}
    (place / "made_with.json").write_text(json.dumps({"plugins": [one]}))
    import torch

    for name in ("last.ckpt", "best.ckpt"):
        file = (place / "checkpoints" / name).resolve()
        contents = torch.load(file, weights_only=True)
        contents["convkit"]["made_with"] = {"plugins": [one]}
        torch.save(contents, file)


def test_to_go_on_with_another_version_warns(trained: Path, convkit: Command) -> None:
    place = Path("runs/mine/1")
    shutil.copytree(trained, place)
    recorded_as(place)
    with pytest.warns(OtherVersion, match="it was made with torch 0.1, and ") as warned:
        assert convkit("fit", "--ckpt_path", place, "--trainer.max_epochs", 3, "--wandb", "off").status == 0
    [line] = [each for each in warned if each.category is OtherVersion]
    told = warnings.formatwarning(line.message, line.category, line.filename, line.lineno)
    assert told == f"convkit: warning: {line.message}\n"
    recorded_as(place, distribution="gone-net")
    for words in (("test", "--config", place / "config.yaml"), ("fit", "--trainer.max_epochs", 4)):
        result = convkit(*words, "--ckpt_path", place)
        assert result.status == 2
        assert "with the architecture 'birds' of gone-net 0.1, which is not installed; pip install 'gone-net==0.1'" in (
            result.err
        )
        assert result.err.count("\n") == 1


def test_the_configuration_of_a_run_names_what_to_install(trained: Path, convkit: Command) -> None:
    place = Path("runs/mine/1")
    shutil.copytree(trained, place)
    config = place / "config.yaml"
    config.write_text(config.read_text().replace("convkit.architectures.lenet.LeNet", "gone_net.Net"))
    recorded_as(place, kind="architecture", distribution="gone-net")
    for command in ("fit", "check"):
        result = convkit(command, "--config", config, "--wandb", "off")
        assert (result.status, result.err.count("\n")) == (2, 1)
        assert result.err.endswith(
            "the architecture 'birds' of gone-net 0.1, which is not installed; pip install 'gone-net==0.1'\n"
        )


@pytest.mark.slow
def test_the_warning_is_one_line_on_stderr(trained: Path, process: Any) -> None:
    place = Path("runs/mine/1").absolute()
    shutil.copytree(trained, place)
    recorded_as(place)
    running = process("explain", place, "--method", "saliency", "--count", 1, "--out", "maps")
    _, err = running.communicate(timeout=300)
    assert (running.returncode, err.count("\n")) == (0, 1)
    assert err.startswith(f"convkit: warning: {place}: it was made with torch 0.1, and ")


def test_verify(install: Install, convkit: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = {
        "ends": "import os\nos._exit(0)",
        "leaves": "raise SystemExit(0)",
        "stops": "raise KeyboardInterrupt",
        "a|b": "Net = 5",
    }
    for number, (name, source) in enumerate(sources.items()):
        folder = install(f"net-{number}", architectures={name: f"net_{number}:Net"})
        (folder / f"net_{number}.py").write_text(source)
    install("old-net", needs=["convkit>=99"], architectures={"old": "old_net:Net"})
    monkeypatch.setenv("PYTHONPATH", f"{folder}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    few = tuple(each for each in plugins.installed() if each.distribution != "convkit")
    monkeypatch.setattr(plugins, "installed", functools.cache(lambda: few))
    result = convkit("plugins", "--json", "--verify")
    notes = {row["name"]: row["note"] for row in json.loads(result.out) if row["name"] in {*sources, "old"}}
    assert notes == {
        "ends": "its import ended the process, with status 0",
        "leaves": "cannot be loaded: SystemExit: 0; repair or uninstall net-1",
        "stops": "cannot be loaded: KeyboardInterrupt; repair or uninstall net-2",
        "a|b": "",
        "old": "requires convkit>=99, and this is convkit 0.1.0",
    }
    assert result.status == 1
    whole = tuple(each for each in few if each.name == "a|b")
    monkeypatch.setattr(plugins, "installed", functools.cache(lambda: whole))
    monkeypatch.setattr(plugins, "unreadable", tuple)
    assert convkit("plugins", "--verify").status == 0


PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "{name}-net"
version = "1.0"
[project.entry-points."convkit.architectures"]
{entry} = "{name}_net:Net"
[tool.hatch.build.targets.wheel]
only-include = ["{name}_net.py"]
"""


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """A folder into which pip has installed the five."""
    target = tmp_path / "target"
    for name, source in {**HOSTILE, "twin": "Net = 5"}.items():
        project = tmp_path / "projects" / name
        project.mkdir(parents=True)
        (project / f"{name}_net.py").write_text(source)
        entry = "lenet" if name == "twin" else name
        (project / "pyproject.toml").write_text(PROJECT.format(name=name, entry=entry))
    python = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-build-isolation", "--no-index", "--quiet"]
    projects = map(str, (tmp_path / "projects").iterdir())
    done = subprocess.run([*python, "--target", target, *projects], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return target


@pytest.mark.slow
def test_five_that_pip_installed_change_nothing(built: Path, process: Any) -> None:
    path = os.environ.get("PYTHONPATH", "")

    def both(*words: object) -> list[tuple[int, str, str]]:
        found = []
        for name, folders in (("without", path), ("with", f"{built}{os.pathsep}{path}")):
            running = process(*words, *(["--name", name] if words[0] == "fit" else []), PYTHONPATH=folders)
            out, err = running.communicate(timeout=300)
            found.append((running.returncode, out, err))
        return found

    for words in (["--help"], ["plugins", "check", "saliency"]):
        without, among = both(*words)
        assert without == among
        assert without[0] == 0
    without, among = both("plugins", "--json")
    strangers = {"import_error-net", "endless-net", "no_class-net", "wrong_signature-net", "twin-net"}
    rows = json.loads(among[1])
    assert {row["distribution"] for row in rows} >= strangers
    note = "also of twin-net: choose with convkit:lenet"
    others = [{**row, "note": row["note"].replace(note, "")} for row in rows if row["distribution"] not in strangers]
    assert others == json.loads(without[1])
    assert (among[0], among[2]) == (0, "")
    fits = both("fit", *SMALL, "--trainer.max_epochs", 2)
    assert [(status, err) for status, _, err in fits] == [(0, ""), (0, "")]
    first, second = (
        [
            {key: value for key, value in row.items() if not key.startswith("time/")}
            for row in Run.open(f"runs/{name}").metrics
        ]
        for name in ("without", "with")
    )
    assert first == second
