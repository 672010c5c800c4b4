"""The floors of the house: a file imports lower floors only, and never a neighbour's private parts."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"

# A unit is a module beside convkit/__init__.py or a package there.
FLOORS: list[set[str]] = [
    {
        "errors",
        "plugins",
        "arithmetic",
        "run_directory",
        "metrics_file",
        "run_state",
        "plugin_health",
        "distributions",
        "blame",
        "requirements",
        "scaffold",
    },  # standard library only
    {"convnet", "parts", "sizes", "taps", "strongest", "metrics", "initial", "locally_connected", "step_seed"},  # torch
    {
        "weights",
        "timm_weights",
        "sources",
        "start",
        "inspection",
        "architectures",
        "datasets",
        "schedules",
        "explainers",
        "projections",
        "evolution",
    },
    {
        "classifier",
        "curves",
        "run",
        "deployment",
        "tracking",
        "made_with",
        "explanation",
        "analyses",
        "callbacks",
        "report",
        "preview",
        "testing",
        "targets",
    },  # adds Lightning
    {"cli"},
]
# Units of one floor that may import each other, and why.
BESIDE = {
    ("plugin_health", "plugins"): "it is about them",
    ("plugin_health", "requirements"): "of its distribution",
    ("plugin_health", "errors"): "what a run needs and is not installed is the user's to mend",
    ("plugins", "distributions"): "they bring them",
    ("distributions", "requirements"): "how their names compare",
    ("blame", "plugins"): "whose an exception is",
    ("blame", "requirements"): "never convkit's own",
    ("targets", "testing"): "a contract's first clause",
    ("plugins", "requirements"): "why one cannot be loaded",
    ("plugins", "errors"): "an unknown name is the user's error",
    ("run_state", "run_directory"): "its file lies in a run",
    ("run_directory", "errors"): "so is a run that is not there",
    ("parts", "convnet"): "the parts are a ConvNet's",
    ("taps", "convnet"): "the stages are a ConvNet's",
    ("taps", "parts"): "every stage but the head",
    ("projections", "explainers"): "the deconvnet's way back to pixels",
    ("projections", "inspection"): "where in the image a unit looks",
    ("evolution", "inspection"): "where in the image a unit looks",
    ("evolution", "projections"): "the window of the image that a winner saw",
    ("classifier", "curves"): "what its steps cost",
    ("analyses", "classifier"): "they are asked of a trained model",
    ("timm_weights", "weights"): "what timm publishes lies in files",
    ("sources", "weights"): "a source is a file of weights",
    ("sources", "timm_weights"): "or one that timm publishes",
    ("start", "weights"): "whose keys, and what does not fit",
    ("start", "sources"): "where they come from",
    ("run", "classifier"): "a run gives back the trained model",
    ("run", "explanation"): "a run explains its images",
    ("report", "explanation"): "it draws what was explained",
    ("report", "run"): "the page is of runs",
    ("report", "analyses"): "and shows their top patches",
    ("deployment", "run"): "what is exported is a run's network",
    ("callbacks", "classifier"): "they read the confusion matrix and the rates",
    ("preview", "classifier"): "it looks at what would be trained",
    ("preview", "callbacks"): "Freezing says what it would freeze",
    ("callbacks", "run"): "the record of a fit is what Run.open reads",
    ("testing", "classifier"): "a schedule is fitted, which takes one",
    ("callbacks", "made_with"): "the record of a fit says what it was made with",
    ("callbacks", "tracking"): "a callback decides when, tracking hands over to the loggers",
    ("callbacks", "report"): "a callback decides when, the report draws",
}
# What is below Lightning's floor and needs it all the same, and why.
LIGHTNING_BELOW = {
    "convkit.datasets.base": "ImageData is a LightningDataModule",
    "convkit.schedules": "optimizers() gets the trainer and returns what configure_optimizers does",
}
# Where a plugin lives, its kind's contract apart, nothing from outside reaches in.
KINDS = ("architectures", "datasets", "schedules", "explainers")


class Import(NamedTuple):
    importer: str
    line: int
    module: str
    name: str  # of what is taken from the module; empty for the module itself


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")


FILES = {module_name(path): path for path in sorted((SOURCE / "convkit").rglob("*.py"))}


def statements(node: ast.AST) -> Iterator[ast.AST]:
    """Every node, but for what type checkers alone read."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        yield child
        yield from statements(child)


def imports(module: str) -> Iterator[Import]:
    for node in statements(ast.parse(FILES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(module, node.lineno, alias.name, "")
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module}:{node.lineno} imports relatively"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found = (inner, "") if inner in FILES else (str(node.module), alias.name)
                yield Import(module, node.lineno, *found)


IMPORTS = [found for module in FILES for found in imports(module)]
OWN = [found for found in IMPORTS if found.module.split(".")[0] == "convkit"]


def unit(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def floor(module: str) -> int:
    """The floor of a module; the facade, convkit itself, is on the lowest."""
    if module == "convkit":
        return 0
    homes = [level for level, units in enumerate(FLOORS) if unit(module) in units]
    assert homes, f"{module} has no floor: give {unit(module)} one in FLOORS"
    return homes[0]


def beside(found: Import) -> tuple[str, str] | None:
    """The two units of an import on one floor, where they are two."""
    pair = unit(found.importer), unit(found.module)
    same = floor(found.importer) == floor(found.module)
    return pair if same and pair[0] != pair[1] and "" not in pair else None


def test_a_file_imports_lower_floors_only() -> None:
    upward = [found for found in OWN if floor(found.module) > floor(found.importer)]
    sideways = [found for found in OWN if (pair := beside(found)) and pair not in BESIDE]
    assert not upward
    assert not sideways


def test_neighbours_that_may_import_each_other_do_and_not_in_a_circle() -> None:
    assert {beside(found) for found in OWN} - {None} == set(BESIDE)
    graph: dict[str, set[str]] = {}
    for importer, imported in BESIDE:
        graph.setdefault(importer, set()).add(imported)
    TopologicalSorter(graph).prepare()  # raises CycleError


def test_the_facade_is_not_taken_for_what_lies_behind_it() -> None:
    assert not [found for found in OWN if found.module == "convkit" and found.name not in ("", "__version__")]


@pytest.mark.parametrize("module", [module for module in FILES if floor(module) == 0])
def test_the_lowest_floor_is_the_standard_library_and_versions(module: str) -> None:
    outside = {found.module.split(".")[0] for found in IMPORTS if found.importer == module} - {"convkit", "packaging"}
    assert outside <= sys.stdlib_module_names


def test_lightning_stays_on_its_floor() -> None:
    below = {found.importer for found in IMPORTS if found.module.startswith("lightning") and floor(found.importer) < 3}
    assert not {module for module in below if not module.startswith(tuple(LIGHTNING_BELOW))}


def test_nobody_imports_private_names() -> None:
    assert not [
        found
        for found in OWN
        if any(part.startswith("_") and not part.startswith("__") for part in (*found.module.split("."), found.name))
    ]


@pytest.mark.parametrize("module", FILES)
def test_nobody_reaches_for_a_private_name_of_a_module(module: str) -> None:
    tree = ast.parse(FILES[module].read_text(encoding="utf-8"))
    modules = {found.module.split(".")[-1] for found in OWN if found.importer == module and not found.name}
    assert not [
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__")
        if isinstance(node.value, ast.Name) and node.value.id in modules
    ]


def test_core_never_names_a_plugin() -> None:
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"]
    concrete = {target.split(":")[0] for group in groups.values() for target in group.values()}
    assert {unit(module) for module in concrete} <= set(KINDS)
    assert not [found for found in OWN if found.module in concrete and unit(found.importer) != unit(found.module)]


@pytest.mark.parametrize(
    "module",
    [
        "convkit",
        "convkit.errors",
        "convkit.plugins",
        "convkit.run_directory",
        "convkit.cli.front",
        "convkit.cli.list_plugins",
    ],
)
def test_what_answers_at_once_imports_no_torch(module: str) -> None:
    code = f"import sys, {module}; print(*sorted({{'torch', 'lightning', 'torchvision', 'numpy'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
