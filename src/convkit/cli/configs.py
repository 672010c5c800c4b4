"""Configs by file or by the name of one that ships, read with errors in one line. No torch here."""

import re
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from convkit.errors import UserError, did_you_mean

SECTIONS = ("model", "trainer")
SUFFIXES = (".yaml", ".yml", ".json")


class _Loader(yaml.SafeLoader):
    """YAML 1.2's scalars: ``1e-3`` is a float and ``off`` a text, as ``--wandb off`` wants it; 1.1 has them otherwise.

    A key that is given twice is an error, not silently the later of the two.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen and key.tag != "tag:yaml.org,2002:merge":
                raise yaml.MarkedYAMLError(problem=f"{key.value!r} is given twice", problem_mark=key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
    for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
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
    if not name:
        raise UserError(f"--config needs a value: a YAML file, or one of {', '.join(shipped())}")
    path = Path(name).expanduser()
    if path.is_file():
        return path
    known = shipped()
    if name.removesuffix(".yaml") in known and path.parent == Path():
        return known[name.removesuffix(".yaml")]
    beside = [str(entry) for entry in path.parent.glob("*") if entry.suffix in SUFFIXES] if path.parent.is_dir() else []
    near = get_close_matches(name, beside, n=1)  # a folder may hold hundreds: only those that ship are listed
    raise UserError(f"there is no config {name}{did_you_mean(name, [*known, *near])}")


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
        raise UserError(f"{place}: cannot be read: {error.problem or error.context}") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    if not isinstance(config, dict):
        raise UserError(f"{path} holds no options; a config is a mapping such as 'data: digits'")
    for section in SECTIONS:
        if not isinstance(config.get(section) or {}, dict):
            raise UserError(f"{path}: {section} is a group of options, not {config[section]!r}")
    return {name: value for name, value in config.items() if value is not None}
