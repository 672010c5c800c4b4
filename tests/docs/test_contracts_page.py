"""The contracts in docs/plugins.md are what the docstrings of convkit.testing say."""

import importlib.util
from pathlib import Path
from types import ModuleType

DOCS = Path(__file__).parents[2] / "docs"


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("contracts_page", DOCS / "contracts.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_contracts_are_those_of_the_code() -> None:
    made = generator()
    assert made.page() == made.PAGE.read_text(encoding="utf-8"), "stale: run python docs/contracts.py"
    for _, clauses, rest in made.KINDS.values():
        assert all(made.sentence(check) for check in [*(clause.check for clause in clauses), *(row[1] for row in rest)])
