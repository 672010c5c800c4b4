"""What others build on, as it is: a change here is a change for users, and has its line in CHANGELOG.md."""

import inspect

import convkit
from convkit import plugins, testing
from convkit.cli.front import COMMANDS

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
METHODS = {
    "ConvNet": {"aux_heads", "stage", "forward"},
    "ImageData": {"average_image", "labels", "pick", "evaluation", "sample"},
    "Schedule": {"param_groups", "optimizers", "losses", "mixed", "callbacks"},
    "Run": {"open", "config", "data", "model", "metrics", "checkpoint", "explain"},
}


def test_names() -> None:
    assert set(convkit.__all__) == NAMES
    assert all(hasattr(convkit, name) for name in NAMES)


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
