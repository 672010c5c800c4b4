"""Files of weights: whose keys, what does not fit, and that nothing in a file is executed."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from convkit.architectures.lenet import LeNet
from convkit.convnet import ConvNet
from convkit.errors import UserError
from convkit.weights import differences, read_checkpoint, read_weights, state_dict_of


def lenet(num_classes: int = 10) -> LeNet:
    return LeNet(num_classes, (1, 28, 28))


def same(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(left, right) for left, right in pairs)


def wrapped(prefix: str) -> Callable[[dict[str, Tensor]], dict[str, Any]]:
    return lambda state: {prefix + key: value for key, value in state.items()}


@pytest.mark.parametrize(
    "form",
    [
        wrapped(""),
        wrapped("module."),
        wrapped("net."),
        wrapped("_orig_mod."),
        wrapped("module._orig_mod.net."),
        lambda state: {"state_dict": wrapped("module.")(state), "best_prec1": 91.73},
        lambda state: {"model": wrapped("module.")(state), "optimizer": {"state": {}}},
        lambda state: {"state_dict": wrapped("net.")(state), "epoch": 3, "loops": {"fit_loop": {}}, "callbacks": {}},
    ],
    ids=["plain", "ddp", "lightning", "compiled", "all", "script", "torchvision", "checkpoint"],
)
def test_loads_what_training_leaves(form: Callable[[dict[str, Tensor]], dict[str, Any]], tmp_path: Path) -> None:
    source = lenet()
    torch.save(form(source.state_dict()), tmp_path / "w.pt")
    net = lenet()
    assert not same(net, source)
    net.load_state_dict(state_dict_of(read_weights(tmp_path / "w.pt"), net))
    assert same(net, source)


def test_safetensors_are_told_by_their_suffix(tmp_path: Path) -> None:
    state = lenet().state_dict()
    save_file(state, tmp_path / "w.safetensors")
    found = read_weights(tmp_path / "w.safetensors")
    assert found.keys() == state.keys()
    assert all(torch.equal(value, state[key]) for key, value in found.items())


def test_a_damaged_safetensors_file_is_told_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file(lenet().state_dict(), path)
    whole = path.read_bytes()
    for contents in (b"", b"<html>not found</html>", whole[:-100], whole[8:]):
        path.write_bytes(contents)
        with pytest.raises(UserError, match=r"w\.safetensors is not a readable safetensors file") as raised:
            read_weights(path)
        assert "\n" not in str(raised.value)
    path.unlink()
    with pytest.raises(UserError, match=r"there is no file .*w\.safetensors"):
        read_weights(path)
    path.mkdir()
    with pytest.raises(UserError, match=r"w\.safetensors cannot be read: "):
        read_weights(path)


class Foreign(ConvNet):
    """A network whose own parts are called what wrappers are called, and whose publisher calls its head otherwise."""

    stages = {"head": "model.head"}

    def __init__(self) -> None:
        super().__init__()
        self.model = nn.ModuleDict({"head": nn.Linear(4, 2), "net": nn.Linear(4, 4)})
        self.net = nn.Linear(4, 4)

    def forward(self, images: Tensor) -> Tensor:
        return torch.zeros(len(images), 2)

    def rename_key(self, key: str) -> str:
        return key.replace("classifier.", "model.head.")


@pytest.mark.parametrize("prefix", ["", "module.", "net."])
def test_a_networks_own_names_are_no_wrappers(prefix: str) -> None:
    state = Foreign().state_dict()
    published = {prefix + key.replace("model.head.", "classifier."): value for key, value in state.items()}
    assert set(state_dict_of(published, Foreign())) == set(state)


def test_another_number_of_classes_is_another_shape() -> None:
    assert differences(lenet(10), lenet(7).state_dict()) == (
        "2 of another shape: fc7.weight is 7×84, wanted 10×84, fc7.bias is 7, wanted 10"
    )
    assert differences(lenet(10), lenet(7).state_dict(), {"fc7.weight", "fc7.bias"}) == ""


class Touch:
    """Unpickling it would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("save", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))])
def test_code_in_a_file_is_refused_and_not_run(save: Callable[[Any, Path], None], tmp_path: Path) -> None:
    victim, path = tmp_path / "victim", tmp_path / "w.pt"
    save({"state_dict": Touch(victim)}, path)
    with pytest.raises(UserError, match=r"w\.pt is not a checkpoint of tensors and plain values"):
        read_checkpoint(path)
    assert not victim.exists()
    if save is not torch.save:
        pickle.loads(path.read_bytes())
        assert victim.exists()  # it would have


def archive(tmp_path: Path) -> bytes:
    torch.save(lenet().state_dict(), tmp_path / "whole.pt")
    return (tmp_path / "whole.pt").read_bytes()


@pytest.mark.parametrize(
    ("contents", "said"),
    [
        (None, "there is no checkpoint"),
        (b"", "is not a readable checkpoint"),
        (b"seed: 1\n", "is not a readable checkpoint"),
        (b"<html>not found</html>", "is not a"),
        (b"\x80\x02.", "is not a readable checkpoint"),
        (archive, "is not a readable checkpoint"),
    ],
    ids=["missing", "empty", "text", "page", "damaged", "truncated"],
)
def test_what_is_no_checkpoint_is_told_in_one_line(
    contents: bytes | Callable[[Path], bytes] | None, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "w.pt"
    if contents is not None:
        path.write_bytes(contents if isinstance(contents, bytes) else contents(tmp_path)[:3000])
    with pytest.raises(UserError, match=r"w\.pt") as raised:
        read_checkpoint(path)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_directory_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is a directory; name a checkpoint file in it"):
        read_checkpoint(tmp_path)


def test_a_file_with_one_tensor_is_no_state_dict(tmp_path: Path) -> None:
    torch.save(torch.zeros(3), tmp_path / "w.pt")
    with pytest.raises(UserError, match="holds a Tensor, not a state_dict"):
        read_checkpoint(tmp_path / "w.pt")
