"""``convkit plugins new``: a small plugin, a package of its own, with its test."""

import keyword
import re
import sys
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from string import Template

from convkit import __version__, plugins
from convkit.cli.export import Parser
from convkit.errors import UserError
from convkit.requirements import article

HELP = """\
convkit plugins new DIR --kind architecture|dataset|schedule|explainer [--name NAME]

Writes a package that can be installed: pyproject.toml with its entry point, a module, its test, a README. It works as
it is; change it into yours.

  DIR          a new or an empty folder
  --kind KIND  what it is
  --name NAME  its short name: letters, digits and underscores; by default that of DIR
"""
USES = {
    "architecture": "convkit fit --config quickstart --model.architecture $name",
    "dataset": "convkit fit --config quickstart --data $name",
    "schedule": "convkit fit --config quickstart --model.schedule $name",
    "explainer": "convkit fit --config quickstart\nconvkit explain runs/quickstart/latest --method $name --out maps",
}


def main(command: str, arguments: list[str]) -> int:
    if "-h" in arguments or "--help" in arguments:
        print(HELP, end="")
        return 0
    parser = Parser(prog=command, add_help=False, allow_abbrev=False)
    parser.add_argument("folder", metavar="DIR", type=Path)
    parser.add_argument("--kind", required=True, choices=list(plugins.GROUPS))
    parser.add_argument("--name")
    given = parser.parse_args(arguments)
    name = given.name or re.sub(r"\W", "_", given.folder.resolve().name.lower())
    _check(given.folder, given.kind, name)
    words = _words(given.kind, name)
    given.folder.mkdir(parents=True, exist_ok=True)
    for file, text in _files(given.kind, words).items():
        (given.folder / file).write_text(text, encoding="utf-8")
        print(given.folder / file)
    steps = [f"cd {given.folder} && pip install -e '.[test]' && python -m pytest", *words["use"].splitlines()]
    print("next:  " + "\n       ".join(steps))
    return 0


def _check(folder: Path, kind: str, name: str) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise UserError(f"{name!r} is no short name; give --name with small letters, digits and underscores")
    if keyword.iskeyword(name) or name in sys.stdlib_module_names or find_spec(name) is not None:
        raise UserError(
            f"{name!r} is a word or a module of its own, which a module of that name would hide; give --name"
        )
    words = _words(kind, name)
    sources = "\n".join(text for file, text in _files(kind, words).items() if file.endswith(".py"))
    imported = re.findall(
        r"^(?:from \S+ )?import (.+)$", sources.replace(f"from {name} import {words['target']}", ""), re.M
    )
    if {name, words["target"]} & {each for line in imported for each in re.split(", | as ", line)}:
        raise UserError(f"{name!r} is what its module itself imports; give another --name")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} is there and not an empty folder; name a new one")
    if taken := plugins.named(kind).get(name):
        raise UserError(f"there is {article(kind)} {name!r} of {taken[0].distribution}; give another --name")


def _words(kind: str, name: str) -> dict[str, str]:
    own = "".join(part.capitalize() for part in name.split("_") if part)
    words = {
        "kind": kind,
        "article": "An" if kind[0] in "ae" else "A",
        "name": name,
        "module": name,
        "Class": own,
        "target": name if kind == "explainer" else own,
        "package": name.replace("_", "-").strip("-"),
        "group": plugins.GROUPS[kind],
        "version": ".".join(__version__.split(".")[:2]),
    }
    return {**words, "use": Template(USES[kind]).substitute(words)}


def _files(kind: str, words: dict[str, str]) -> dict[str, str]:
    wanted = {
        "pyproject.toml": "pyproject.toml.in",
        "README.md": "README.md.in",
        f"{words['module']}.py": f"{kind}.py.in",
        f"test_{words['module']}.py": f"test_{kind}.py.in",
    }
    place = files("convkit.scaffold")
    return {
        file: Template(place.joinpath(template).read_text(encoding="utf-8")).substitute(words)
        for file, template in wanted.items()
    }
