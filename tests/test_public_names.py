"""What ``convkit`` offers by name."""

import ast
from importlib.metadata import version
from pathlib import Path

import pytest

import convkit


@pytest.mark.parametrize("name", [name for name in convkit.__all__ if name != "__version__"])
def test_every_public_name_is_what_its_module_calls_so(name: str) -> None:
    assert getattr(convkit, name).__name__ == name


def test_version_is_the_distributions() -> None:
    assert convkit.__version__ == version("convkit")


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(Path(convkit.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.asname: f"{statement.module}.{alias.name}"
        for statement in block.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }
    assert seen.keys() | {"__version__"} == set(convkit.__all__) == set(dir(convkit))
    for name, path in seen.items():
        assert path == f"{getattr(convkit, name).__module__}.{name}"


def test_an_unknown_name() -> None:
    with pytest.raises(AttributeError, match="module 'convkit' has no attribute 'Convnet'"):
        _ = convkit.Convnet
