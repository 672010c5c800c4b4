"""docs/architectures.md is what the architectures and docs/architectures.yaml say."""

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torchvision
import yaml

from convkit import plugins
from convkit.errors import UserError

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "architectures.md").read_text()
DATA = yaml.safe_load((DOCS / "architectures.yaml").read_text())


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("architectures_page", DOCS / "architectures.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATOR = generator()
ROWS = [(section, row) for section in DATA["sections"] for row in section["rows"]]
FIRST = {row["architecture"]: GENERATOR.label(row) for _, row in reversed(ROWS)}
AGAIN = "stale: run python docs/architectures.py"


@pytest.mark.parametrize(
    ("section", "row"),
    [
        # one of each architecture always; all of them, which takes a minute, with -m slow
        pytest.param(*pair, id=label, marks=[] if FIRST[pair[1]["architecture"]] == label else pytest.mark.slow)
        for pair in ROWS
        if (label := GENERATOR.label(pair[1]))
    ],
)
def test_figures_are_fresh(section: dict[str, Any], row: dict[str, Any]) -> None:
    assert GENERATOR.line(row, section, DATA["sources"]) in PAGE.splitlines(), AGAIN


def test_the_page_has_these_variants_with_these_published_figures() -> None:
    found = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if line.startswith("| `")]
    given = [
        [
            GENERATOR.label(row),
            row.get("parameters", "–"),
            row.get("macs", "–"),
            row["error"],
            GENERATOR.cited(row["source"], DATA["sources"]),
        ]
        for _, row in ROWS
    ]
    assert [[cells[column] for column in (0, 2, 4, 6, 7)] for cells in found] == given, AGAIN
    around = [line for line in GENERATOR.INTRO.splitlines() if line]
    assert [line for line in PAGE.splitlines() if line in around] == around, AGAIN


def test_every_row_has_a_source() -> None:
    for _, row in ROWS:
        assert any(row["source"].startswith(key) for key in DATA["sources"]), row


def test_every_architecture_has_a_row() -> None:
    own = {
        plugin.name
        for plugin in plugins.installed()
        if (plugin.kind, plugin.distribution) == ("architecture", "convkit")
    }
    assert own <= {row["architecture"] for _, row in ROWS}


def test_an_unknown_architecture_is_an_error() -> None:
    section, row = ROWS[0]
    with pytest.raises(UserError, match="unknown architecture 'lenett'"):
        GENERATOR.line({**row, "architecture": "lenett"}, section, DATA["sources"])


def test_figures_from_torchvision_are_in_its_metadata() -> None:
    names = {"alexnet": "alexnet", "densenet": "densenet161"}
    rows = [row for _, row in ROWS if row["source"] == "torchvision"]
    assert len(rows) == 2
    for row in rows:
        meta = torchvision.models.get_model_weights(names[row["architecture"]]).IMAGENET1K_V1.meta
        metrics = meta["_metrics"]["ImageNet-1K"]
        errors = [f"{100 - metrics[name]:.2f}" for name in ("acc@1", "acc@5")]
        assert row["error"] == " / ".join(errors)
        assert row["parameters"] == f"{meta['num_params'] / 1e6:.1f} M"


def test_figures_of_cifar_resnets_agree_with_another_list(shared: Any) -> None:
    lines = shared("data/reference_results/akamaster_tables.csv").read_text().splitlines()
    listed = {}
    for line in lines[1:]:
        name, column, value = line.rsplit(",", 3)[1:]
        if name.startswith("ResNet"):
            listed[name.removeprefix("ResNet"), column] = value
    plain = [row for _, row in ROWS if row["architecture"] == "resnet_cifar" and list(row["options"]) == ["depth"]]
    assert len(plain) == 5
    for row in plain:
        depth = str(row["options"]["depth"])
        assert listed[depth, "Test err(paper)"] == f"{row['error']}%"
        assert listed[depth, "# params"] == row["parameters"].replace(" ", "")
