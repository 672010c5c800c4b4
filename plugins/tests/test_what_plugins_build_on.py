"""What README.md says of these plugins' imports, by their sources."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import convkit
from convkit import testing

PLUGINS = Path(__file__).parents[1]
ROOT = PLUGINS.parent
MACHINERY = "convkit.datasets."  # of the photographs; README.md names the modules
BEYOND = {"convkit-litdata": MACHINERY}
TYPES = {"convkit.explainers.base.Subject"}  # what a public function gives, for its annotation


def imported(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "convkit":
                yield from (f"{node.module}.{each.name}" for each in node.names)
            elif isinstance(node, ast.Import):
                yield from (each.name for each in node.names if each.name.startswith("convkit."))


def public() -> set[str]:
    page = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^\| `(convkit\.\S+)` \|", page, re.MULTILINE)
    names = {*blocks, *(f"convkit.{name}" for name in convkit.__all__)}
    return names | {f"convkit.testing.{name}" for name in testing.__all__}


@pytest.mark.parametrize("name", ["convkit-captum", "convkit-airbench", "convkit-litdata"])
def test_only_what_a_stranger_may_build_on(name: str) -> None:
    beyond = {each for each in imported(PLUGINS / name / "src") if each not in public() | TYPES}
    if name not in BEYOND:
        assert beyond == set()
        return
    readme = (PLUGINS / "README.md").read_text(encoding="utf-8")
    modules = {each.rpartition(".")[0] for each in beyond}
    assert all(module.startswith(BEYOND[name]) for module in modules)
    said = set(re.findall(r"`([a-z_]+)`", readme.partition("machinery of the photographs")[2].partition("\n\n")[0]))
    assert said == {module.removeprefix(MACHINERY) for module in modules}
