"""``convkit plugins new``, ``check`` and ``--verify``: a stranger's package, and hostile ones."""

import functools
import json
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import Command
from convkit import plugins
from test_plugins import Install, install  # noqa: F401 - a fixture

KINDS = list(plugins.GROUPS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_plugin_passes_lint_and_is_complete(kind: str, tmp_path: Path, convkit: Command) -> None:
    result = convkit("plugins", "new", "mine/bright_idea", "--kind", kind)
    assert result.status == 0
    made = tmp_path / "mine" / "bright_idea"
    assert {path.name for path in made.iterdir()} == {
        "pyproject.toml", "README.md", "bright_idea.py", "test_bright_idea.py"}  # fmt: skip
    assert not [path for path in made.iterdir() if "$" in path.read_text(encoding="utf-8")]
    for words in (("check",), ("format", "--check")):
        done = subprocess.run([sys.executable, "-m", "ruff", *words, "."], cwd=made, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_new_plugin_passes_types_its_own_test_and_its_contract(
    kind: str, tmp_path: Path, convkit: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    convkit("plugins", "new", "bright_idea", "--kind", kind)
    made = tmp_path / "bright_idea"
    monkeypatch.setenv("PYTHONPATH", str(made))
    run = [sys.executable, "-m"]
    for words in (["mypy", "--strict", "bright_idea.py"], ["pytest", "-q", "-p", "no:cacheprovider"]):
        done = subprocess.run([*run, *words], cwd=made, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout
    info = made / "bright_idea-0.1.0.dist-info"  # what pip would write
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bright-idea\nVersion: 0.1.0\n")
    own = "bright_idea" if kind == "explainer" else "BrightIdea"
    (info / "entry_points.txt").write_text(f"[{plugins.GROUPS[kind]}]\nbright_idea = bright_idea:{own}\n")
    words = {
        "architecture": ["fit", "--model.architecture", "bright_idea"],
        "dataset": ["fit", "--data", "bright_idea"],
        "schedule": ["fit", "--model.schedule", "bright_idea"],
        "explainer": ["plugins", "check", "bright_idea"],
    }[kind]
    if words[0] == "fit":
        words += ["--config", "quickstart", "--trainer.max_epochs", "1", "--wandb", "off"]
    for each in (words, ["plugins", "check", "bright_idea", "--ranks", "1"]):
        done = subprocess.run([*run, "convkit.cli.front", *each], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("new", "full", "--kind", "dataset"), "full is there and not an empty folder"),
        (("new", "nets", "--kind", "network"), "--kind"),
        (("new", "nets", "--kind", "architecture", "--name", "2fast"), "'2fast' is no short name"),
        (("new", "nets", "--kind", "architecture", "--name", "lenet"), "there is an architecture 'lenet' of convkit"),
        (("check", "lenett"), "there is no plugin 'lenett'; did you mean lenet?"),
        (("check", "lenet", "--option", "depth=3"), "has no option 'depth'"),
        (("check", "digits", "--option", "batchsize=3"), "has no option 'batchsize'; did you mean batch_size?"),
        (("check", "arrays"), "cannot be made without path; give --option path=VALUE"),
        (("check", "timm"), "'timm' is an architecture and a schedule; choose with --kind"),
        (("chekc",), "plugins has no option 'chekc'; did you mean check?"),
    ],
)
def test_mistakes_are_one_line(words: tuple[str, ...], line: str, convkit: Command) -> None:
    Path("full").mkdir()
    Path("full/thesis.txt").write_text("mine")
    result = convkit("plugins", *words)
    assert result.status == 2
    assert line in result.err
    assert result.err.count("\n") == 1
    assert [path.name for path in Path("full").iterdir()] == ["thesis.txt"]
    assert not Path("nets").exists()


def test_check_of_one_that_keeps_its_contract(convkit: Command) -> None:
    result = convkit("plugins", "check", "lenet", "--ranks", "1", "--json")
    found = json.loads(result.out)
    assert (result.status, found["holds"], found["name"]) == (0, True, "lenet")
    assert all(clause["held"] for clause in found["clauses"])


HOSTILE = {
    "import_error": "raise ImportError('on purpose')",
    "endless": "import time\ntime.sleep(3600)",
    "no_class": "Net = 5",
    "wrong_signature": "from convkit import ConvNet\nclass Net(ConvNet):\n    def __init__(self, depth):\n        pass",
}


@pytest.fixture
def hostile(install: Install) -> Path:  # noqa: F811
    """Five packages that mean ill, or were never tried."""
    for name, source in HOSTILE.items():
        folder = install(f"{name}-net", architectures={name: f"{name}_net:Net"})
        (folder / f"{name}_net.py").write_text(source)
    return install("twin-net", architectures={"lenet": "twin_net:Net"})


def test_others_behave_as_if_they_were_not_there(hostile: Path, convkit: Command) -> None:
    assert convkit("--help").status == 0
    rows = json.loads(convkit("plugins", "--json").out)
    assert {*HOSTILE} <= {row["name"] for row in rows}
    assert convkit("plugins", "check", "saliency").status == 0
    small = ("--config", "quickstart", "--data.size", "16", "--wandb", "off", "--trainer.max_epochs", "1")
    assert convkit("fit", *small).status == 0  # its config names LeNet by its path
    assert not {f"{name}_net" for name in HOSTILE} & {*sys.modules}


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("import_error", "cannot be loaded: ImportError: on purpose; repair or uninstall import_error-net"),
        ("no_class", "the target is a int, neither a class nor a function"),
        ("wrong_signature", "the first parameters are (depth); make them (num_classes, image_shape)"),
        ("lenet", "is offered by convkit 0.1.0 and twin-net 1.0; choose with convkit:lenet or twin-net:lenet"),
    ],
)
def test_each_has_its_line_when_it_is_chosen(hostile: Path, convkit: Command, name: str, line: str) -> None:
    result = convkit("fit", "--config", "quickstart", "--model.architecture", name)
    assert result.status == 2
    assert line in result.err
    assert result.err.count("\n") == 1


def test_verify_ends_an_endless_import(hostile: Path, convkit: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(hostile))
    monkeypatch.setattr("convkit.cli.list_plugins.PATIENCE", 8)
    few = tuple(each for each in plugins.installed() if each.name in HOSTILE)
    monkeypatch.setattr("convkit.cli.list_plugins.plugins.installed", functools.cache(lambda: few))
    notes = {row["name"]: row["note"] for row in json.loads(convkit("plugins", "--json", "--verify").out)}
    assert "on purpose" in notes["import_error"]
    assert notes["endless"] == "its import had not ended after 8 s"
    assert notes["no_class"] == ""  # it can be imported: check says what it is
