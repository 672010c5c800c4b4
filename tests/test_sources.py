"""What ``init_from`` may name: the file that it stands for, and what is known of its classes."""

import hashlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from convkit import sources
from convkit.errors import UserError
from convkit.sources import read_source

STATE = {"fc.weight": torch.arange(6.0).view(2, 3)}
TRAINED = {"state_dict": STATE, "convkit": {"class_names": ["ant", "bee"]}}


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs/x/1/checkpoints").mkdir(parents=True)
    (tmp_path / "runs/x/1/config.yaml").touch()
    (tmp_path / "runs/x/latest").symlink_to("1")
    torch.save(TRAINED, tmp_path / "runs/x/1/checkpoints/best.ckpt")
    torch.save(STATE, tmp_path / "w.pth")
    save_file(STATE, tmp_path / "w.safetensors")


@pytest.mark.parametrize("given", ["runs/x", "runs/x/latest", "runs/x/1", "runs/x/1/checkpoints/best.ckpt"])
def test_a_run_knows_its_classes(given: str, tmp_path: Path) -> None:
    source, contents = read_source(given)
    best = tmp_path / "runs/x/1/checkpoints/best.ckpt"
    assert source == (given, best, hashlib.sha256(best.read_bytes()).hexdigest(), ["ant", "bee"])
    assert torch.equal(contents["state_dict"]["fc.weight"], STATE["fc.weight"])


@pytest.mark.parametrize("given", ["w.pth", "w.safetensors"])
def test_a_file_of_tensors_does_not(given: str, tmp_path: Path) -> None:
    source, contents = read_source(given)
    path = tmp_path / given
    assert source == (given, path, hashlib.sha256(path.read_bytes()).hexdigest(), None)
    assert torch.equal(contents["fc.weight"], STATE["fc.weight"])


def test_weights_of_timm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def published(name: str) -> tuple[Path, dict[str, torch.Tensor]]:
        asked.append(name)
        return tmp_path / "w.safetensors", STATE

    monkeypatch.setattr(sources, "timm_weights", published)
    source, contents = read_source("timm:resnet50.a1_in1k")
    assert asked == ["resnet50.a1_in1k"]
    assert (source.given, source.path, source.class_names) == (
        "timm:resnet50.a1_in1k",
        tmp_path / "w.safetensors",
        None,
    )
    assert contents is STATE


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("runs", r"runs is not a run: it has no config\.yaml"),
        ("w.pht", r"there is no checkpoint or run w\.pht"),
        ("runs/y", r"there is no checkpoint or run runs/y"),
    ],
)
def test_nothing_there(given: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        read_source(given)
