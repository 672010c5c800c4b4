"""convkit's own plugins keep the contracts that convkit asks of others."""

import urllib.request
from pathlib import Path
from typing import Any, NoReturn
from urllib.error import URLError

import numpy as np
import pytest
from PIL import Image

from convkit import plugins
from convkit.cli.plugin_trial import outcomes
from convkit.plugins import Plugin

OWN = [plugin for plugin in plugins.installed() if plugin.distribution == "convkit"]
OPTIONS: dict[tuple[str, str], dict[str, Any]] = {
    ("architecture", "timm"): {"name": "mobilenetv3_small_050"},
    ("schedule", "timm"): {"optimizer": "lamb"},
    ("dataset", "arrays"): {"path": "images.npz", "val_fraction": 0.2},
    ("dataset", "image_folder"): {"root": "photographs", "size": 32, "workers": 0, "batch_size": 8},
    ("dataset", "small_folder"): {"root": "photographs", "batch_size": 8},
    ("dataset", "imagenet"): {"root": "photographs", "size": 32, "workers": 0, "batch_size": 8},
    ("dataset", "shapes"): {"train_images": 64, "test_images": 32, "size": 32, "batch_size": 8},
}
QUICK = {"lenet", "resnet_cifar", "resnet"}
DOWNLOADED = {"caltech101", "caltech256", "cifar10", "cifar100", "fashion_mnist", "mnist"}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working folder with a few images in the layouts that data sets read, and no network."""
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(0)
    for split in ("train", "val"):
        for label in ("n01440764", "n02012849", "n03126707"):
            folder = tmp_path / "photographs" / split / label
            folder.mkdir(parents=True)
            for number in range(7):
                Image.fromarray(draw.integers(0, 256, (40, 48, 3), np.uint8)).save(folder / f"{number}.png")
    arrays = {f"x_{part}": draw.integers(0, 256, (40, 8, 8, 3), np.uint8) for part in ("train", "test")}
    np.savez("images.npz", **arrays, **{f"y_{part}": np.arange(40) % 4 for part in ("train", "test")})

    def fail(*_: Any, **__: Any) -> NoReturn:
        raise URLError("no network here")

    monkeypatch.setattr(urllib.request, "urlopen", fail)


def dear(plugin: Plugin) -> bool:
    return plugin.kind == "architecture" and plugin.name not in QUICK


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(
    "plugin", [pytest.param(each, id=each.name, marks=[pytest.mark.slow] if dear(each) else []) for each in OWN]
)
def test_keeps_its_contract(plugin: Plugin) -> None:
    found = outcomes(plugin, plugins.load(plugin), OPTIONS.get((plugin.kind, plugin.name), {}), 1)
    if plugin.kind == "dataset" and plugin.name in DOWNLOADED:
        assert [outcome.held for outcome in found] == [True, None]
        assert found[-1].said.startswith("its data cannot be had here: ")
    else:
        assert [outcome for outcome in found if not outcome.held] == []
