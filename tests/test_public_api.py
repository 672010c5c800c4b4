"""What others build on, as it is: a change here is a change for users, and has its line in CHANGELOG.md."""

import importlib
import inspect
import re
from pathlib import Path

import convkit
from convkit import plugins, testing
from convkit.cli.front import COMMANDS

ROOT = Path(__file__).parents[1]
NAMES = {
    "Classifier", "ConvNet", "ImageData", "InMemoryData", "LocallyConnected2d", "Outputs", "Run", "Schedule", "Split",
    "UserError", "__version__",
}  # fmt: skip
SIGNATURES = {
    "check_architecture": ["factory", "image_shape", "ranks", "options"],
    "check_dataset": ["factory", "ranks", "options"],
    "check_explainer": ["function", "net", "images", "options"],
    "check_schedule": ["factory", "ranks", "options"],
}
OWN = {
    "Classifier": [
        "architecture", "schedule", "init_from", "num_classes", "image_shape", "channels_last", "compile", "fresh",
    ],
    "InMemoryData": ["options"],
    "LocallyConnected2d": ["in_channels", "out_channels", "image_size", "kernel_size", "stride", "padding", "bias"],
    "Outputs": ["logits", "aux"],
    "Run": ["directory", "checkpoint"],
    "Schedule": ["aux_weight", "lr", "weight_decay", "decay", "rates", "label_smoothing", "mixup", "cutmix", "ema"],
    "Split": ["images", "targets"],
}  # fmt: skip
# Beyond convkit's own name: what `convkit plugins new` writes with, and docs/plugins.md names.
BLOCKS = {
    "convkit.convnet.Wrapped": ["inner", "stages"],
    "convkit.datasets.augment.Augment": [
        "pad", "flip", "cutout", "translate", "rotate", "scale", "brightness", "contrast",
    ],
    "convkit.datasets.order.Order": ["count", "batch_size", "seed", "shuffle", "rank", "ranks"],
    "convkit.errors.did_you_mean": ["name", "choices"],
    "convkit.explainers.base.chosen": ["output", "channels", "places"],
    "convkit.explainers.base.input_gradient": ["at", "of"],
    "convkit.explainers.base.output_at": ["net", "images", "stage"],
    "convkit.explainers.base.subject": ["net", "images", "targets"],
    "convkit.schedules.by_step.ByStep": ["warmup_epochs", "options"],
    "convkit.schedules.horizon.Horizon": ["epoch", "end", "warmup"],
    "convkit.schedules.rates.StepRate": ["optimizer", "factor", "momentum"],
    "convkit.sizes.output_shape": ["module", "image_shape", "owner"],
}  # fmt: skip
METHODS = {
    "ConvNet": {"aux_heads", "stage", "forward"},
    "ImageData": {"average_image", "labels", "pick", "evaluation", "sample"},
    "Schedule": {"param_groups", "optimizers", "losses", "mixed", "callbacks"},
    "Run": {"open", "config", "data", "model", "metrics", "checkpoint", "explain"},
}


def test_names() -> None:
    assert set(convkit.__all__) == NAMES
    assert all(hasattr(convkit, name) for name in NAMES)


def parameters(path: str) -> list[str]:
    module, _, name = path.rpartition(".")
    return [*inspect.signature(getattr(importlib.import_module(module), name)).parameters]


def test_arguments() -> None:
    assert {name: parameters(f"convkit.{name}") for name in OWN} == OWN


def test_building_blocks() -> None:
    assert {path: parameters(path) for path in BLOCKS} == BLOCKS
    page = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    assert [path for path in BLOCKS if f"`{path}`" not in page] == []


def test_a_new_plugin_uses_nothing_else() -> None:
    allowed = {
        *BLOCKS,
        *(f"convkit.{name}" for name in NAMES),
        *(f"convkit.testing.{name}" for name in testing.__all__),
    }
    for template in (ROOT / "src/convkit/scaffold").glob("*.py.in"):
        for module, names in re.findall(r"^from (convkit\S*) import (.+)$", template.read_text(), re.MULTILINE):
            assert {f"{module}.{name}" for name in names.split(", ")} <= allowed, template.name


def test_methods_that_plugins_use() -> None:
    for name, methods in METHODS.items():
        assert methods <= set(dir(getattr(convkit, name)))


def test_contracts() -> None:
    assert set(testing.__all__) == {*SIGNATURES, "ContractError"}
    for name, parameters in SIGNATURES.items():
        assert [*inspect.signature(getattr(testing, name)).parameters] == parameters


def test_entry_points_and_commands() -> None:
    assert plugins.GROUPS == {
        "architecture": "convkit.architectures",
        "dataset": "convkit.datasets",
        "schedule": "convkit.schedules",
        "explainer": "convkit.explainers",
    }
    assert {"fit", "check", "validate", "test", "predict", "export", "explain", "maps", "patches", "report", "runs",
            "inspect", "data", "plugins"} <= set(COMMANDS)  # fmt: skip
