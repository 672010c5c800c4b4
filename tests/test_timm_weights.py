"""timm's published weights, from a cache as the hub's own client leaves it; no test here reaches a network."""

import re
from collections.abc import Callable
from pathlib import Path

import huggingface_hub.constants
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor

from convkit.errors import UserError
from convkit.timm_weights import timm_weights

Cached = Callable[[str, dict[str, Tensor]], Path]


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cached:
    """Puts weights where the client looks before it asks the hub; nobody answers there."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))

    def nobody(*_: object, **__: object) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setattr(huggingface_hub, "get_session", lambda: type("Session", (), {"head": nobody}))

    def put(name: str, state: dict[str, Tensor]) -> Path:
        repository = tmp_path / f"models--timm--{name}"
        snapshot = repository / "snapshots" / "0123456789"
        snapshot.mkdir(parents=True)
        (repository / "refs").mkdir()
        (repository / "refs" / "main").write_text(snapshot.name)
        save_file(state, snapshot / "model.safetensors")
        return snapshot / "model.safetensors"

    return put


def test_weights_of_the_cache(cached: Cached) -> None:
    theirs = timm.create_model("resnet10t").state_dict()
    path = cached("resnet10t.c3_in1k", theirs)
    torch.manual_seed(5)
    file, found = timm_weights("resnet10t.c3_in1k")
    drawn = torch.rand(1)
    assert file == path
    assert list(found) == list(theirs)
    assert all(torch.equal(value, theirs[key]) for key, value in found.items())
    torch.manual_seed(5)
    assert torch.equal(drawn, torch.rand(1))  # what is drawn next does not depend on where weights came from


def test_keys_are_those_of_timms_network_and_not_of_the_file(cached: Cached) -> None:
    """torchvision's first DenseNets, whose file timm takes, have other keys."""
    theirs = timm.create_model("densenet121").state_dict()
    old = {key: value for key, value in theirs.items() if not key.endswith("num_batches_tracked")}
    published = {re.sub(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2", key): value for key, value in old.items()}
    assert published.keys() - theirs.keys()
    cached("densenet121.tv_in1k", published)
    _, found = timm_weights("densenet121.tv_in1k")
    assert list(found) == list(theirs)
    assert all(torch.equal(value, theirs[key]) for key, value in found.items())


def test_a_file_that_is_not_what_timm_takes_it_for(cached: Cached) -> None:
    cached("resnet10t.c3_in1k", {"fc.weight": torch.zeros(2, 2)})
    with pytest.raises(UserError, match=r"timm:resnet10t\.c3_in1k: timm cannot use .*model\.safetensors: \S") as raised:
        timm_weights("resnet10t.c3_in1k")
    assert "\n" not in str(raised.value)


def test_no_network_is_told_at_once_and_in_one_line(cached: Cached) -> None:
    with pytest.raises(UserError) as raised:
        timm_weights("resnet10t.c3_in1k")
    assert str(raised.value) == (
        "timm:resnet10t.c3_in1k cannot be downloaded (Name or service not known); where there is a network, save "
        "timm.create_model('resnet10t.c3_in1k', pretrained=True).state_dict(), and give that file"
    )


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("resnett18", r"timm has no weights 'resnett18'; did you mean timm:resnet18\?"),
        ("resnet10t.c4_in1k", r"timm has no weights 'resnet10t.c4_in1k'; did you mean timm:resnet10t.c3_in1k\?"),
        ("zzzz", r"timm has no weights 'zzzz'; timm.list_pretrained\(\) has them all"),
        (
            "legacy_xception.tf_in1k",
            r"is not on the hub; download https://.*xception-43020ad28\.pth and",
        ),
    ],
)
def test_names_that_have_no_weights(name: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        timm_weights(name)
