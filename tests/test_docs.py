"""Every ``convkit`` line in the README and the docs is run, and so are their Python blocks."""

import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from convkit.cli.front import COMMANDS, main

TOP = Path(__file__).parents[1]
PAGES = [TOP / "README.md", *sorted((TOP / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path, language: str) -> list[str]:
    return [text for found, text in BLOCK.findall(page.read_text()) if found == language]


def convkit_lines() -> list[tuple[str, str]]:
    return [
        (page.stem, line.partition("  #")[0].strip())
        for page in PAGES
        for block in blocks(page, "sh")
        for line in block.splitlines()
        if line.startswith("convkit ")
    ]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reader's folder: a run of the quickstart in short, and images in a file."""
    folder = tmp_path_factory.mktemp("reader")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        short = ["--trainer.max_epochs", "1", "--data.size", "16", "--wandb", "off"]
        assert main(["fit", "--config", "quickstart", *short]) == 0
    random = np.random.default_rng(0)
    images, labels = random.integers(0, 256, (20, 16, 16, 3), dtype=np.uint8), np.arange(20) % 2
    save_as_in_readme = {"x_train": images, "y_train": labels, "x_test": images, "y_test": labels}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        exec(blocks(TOP / "README.md", "python")[0], dict(save_as_in_readme))
    return folder


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_and_pictures_are_there(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize(("page", "line"), convkit_lines())
def test_command(
    page: str, line: str, workplace: Path, monkeypatch: pytest.MonkeyPatch, shared: Callable[[str], Path]
) -> None:
    monkeypatch.chdir(workplace)
    words = shlex.split(line)[1:]
    if "two_layers" in words:
        pytest.skip("the plugin is not installed here: test_plugin_page trains it by its path")
    for name, place in (("cifar10.npz", "data/cifar10.npz"), ("resnet20-12fca82f.th", "weights/resnet20-12fca82f.th")):
        words = [str(shared(place)) if word == name else word for word in words]
    if words[0] == "fit" and not any(word.endswith((".help", "--help-all")) for word in words):
        words.append("--print_config")  # reads and checks every option, and trains nothing
    try:
        status = main(words)
    except SystemExit as ended:  # jsonargparse's own, after it has printed
        status = int(ended.code or 0)
    assert status == 0


def test_every_command_is_in_the_docs() -> None:
    shown = {line.split()[1] for _, line in convkit_lines()}
    assert set(COMMANDS) <= shown, "a command is in no page"


def test_run_from_python(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workplace)
    scope: dict[str, Any] = {}
    exec(blocks(TOP / "docs" / "runs.md", "python")[0], scope)
    assert scope["run"].config == yaml.safe_load((workplace / "runs/quickstart/1/config.yaml").read_text())
    assert not scope["run"].model.training


def test_patches_from_python(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workplace)
    scope: dict[str, Any] = {}
    exec(blocks(TOP / "docs" / "features.md", "python")[0], scope)
    assert scope["found"].strongest.values.shape == (16, 9)


def test_starting_from_python(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(workplace)
    exec(blocks(TOP / "docs" / "finetuning.md", "python")[0], {})
    line = "6 tensors loaded; fresh: fc6 (fc6.weight, fc6.bias), head (fc7.weight, fc7.bias)"
    assert line in capsys.readouterr().out


def test_explained_from_python(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workplace)
    scope: dict[str, Any] = {}
    exec(blocks(TOP / "docs" / "understanding.md", "python")[0], scope)
    assert scope["found"].maps.shape == (8, 1, 2, 2)
    assert (workplace / "sheet.png").is_file()


def test_plugin_page(workplace: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The page's module trains, by its path; the metadata beside it names it."""
    contract, module = blocks(TOP / "docs" / "plugins.md", "python")
    exec(contract, {})
    (tmp_path / "my_nets.py").write_text(module)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(workplace)
    toml = blocks(TOP / "docs" / "plugins.md", "toml")[0]
    assert 'two_layers = "my_nets:TwoLayers"' in toml
    words = "--model.architecture my_nets.TwoLayers --model.architecture.maps 4 --trainer.max_epochs 1 --wandb off"
    assert main(["fit", "--config", "quickstart", *words.split()]) == 0
    assert "my_nets" in sys.modules
