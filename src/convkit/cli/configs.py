"""Configs by file or by the name of one that ships, read with errors in one line. No torch here."""

import re
from pathlib import Path
from typing import Any

import yaml

from convkit.errors import UserError, did_you_mean

SECTIONS = ("model", "trainer")
SUFFIXES = (".yaml", ".yml", ".json")


class _Loader(yaml.SafeLoader):
    """YAML 1.2's numbers: ``1e-3`` is a float, as in jsonargparse, not the string that YAML 1.1 makes of it."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:\d[\d_]*\.[\d_]*(?:[eE][-+]?\d+)?|\.\d[\d_]*(?:[eE][-+]?\d+)?|\d+[eE][-+]?\d+|\.inf|\.nan)$"),
    list("-+0123456789."),
)


def shipped() -> dict[str, Path]:
    """The configs that come with convkit, by name."""
    package = Path(__file__).parents[1]
    # In the wheel they lie in the package; in a checkout, at its top.
    folder = next((place for place in (package / "configs", package.parents[1] / "configs") if place.is_dir()), None)
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))} if folder else {}


def find_config(name: str) -> Path:
    """The file that ``--config`` names: a path, else a config that ships.

    Raises:
        UserError: there is neither; names the nearest.
    """
    path = Path(name).expanduser()
    if path.is_file():
        return path
    known = shipped()
    if name.removesuffix(".yaml") in known and path.parent == Path():
        return known[name.removesuffix(".yaml")]
    beside = [str(entry) for entry in path.parent.glob("*") if entry.suffix in SUFFIXES] if path.parent.is_dir() else []
    raise UserError(f"there is no config {name}{did_you_mean(name, [*known, *beside])}")


def read_config(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        UserError: it cannot be read (naming line and column), or is no mapping.
    """
    try:
        config = yaml.load(path.read_text(), _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{path}, line {mark.line + 1}, column {mark.column + 1}" if mark else str(path)
        raise UserError(f"{place}: not YAML: {error.problem}") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    if not isinstance(config, dict):
        raise UserError(f"{path} holds no options; a config is a mapping such as 'data: digits'")
    for section in SECTIONS:
        if not isinstance(config.get(section) or {}, dict):
            raise UserError(f"{path}: {section} is a group of options, not {config[section]!r}")
    return {name: value for name, value in config.items() if value is not None}
