"""Weights from a file into a network: whose keys, which layers, and what does not fit."""

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from convkit.convnet import ConvNet
from convkit.errors import UserError

# What training scripts leave in front of every key: DDP, Lightning modules, torch.compile.
WRAPPERS = ("module.", "net.", "model.", "_orig_mod.")


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """The contents of a checkpoint or ``state_dict`` file; nothing in it is executed (``weights_only=True``).

    Raises:
        UserError: there is no such file, it is not a checkpoint, or it holds more than tensors and plain values.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # of a foreign pickle protocol: the error says enough
            contents = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"there is no checkpoint {path}") from None
    except IsADirectoryError:
        raise UserError(f"{path} is a directory; name a checkpoint file in it") from None
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{path} is not a checkpoint of tensors and plain values, and nothing else is loaded; "
            "save a state_dict instead of a whole object"
        ) from error
    except Exception as error:  # a damaged pickle raises anything
        if isinstance(error, OSError):
            raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
        raise UserError(
            f"{path} is not a readable checkpoint: it is none, or damaged ({type(error).__name__})"
        ) from error
    if not isinstance(contents, dict):
        raise UserError(f"{path} holds a {type(contents).__name__}, not a state_dict")
    return contents


def state_dict_of(contents: Mapping[str, Any], net: ConvNet) -> dict[str, Tensor]:
    """The network's own tensors in a checkpoint, under the names that ``net`` gives them.

    Takes a plain ``state_dict``, a training script's ``{"state_dict": …}`` and a Lightning checkpoint.
    """
    tensors = contents.get("state_dict", contents)
    if not isinstance(tensors, Mapping):
        return {}
    own = net.state_dict().keys()
    found = {}
    for key, value in tensors.items():
        if not isinstance(value, Tensor):
            continue
        name = str(key)
        # A network may have a part called "model" or "net" itself: its own names stay whole.
        while name.startswith(WRAPPERS) and net.rename_key(name) not in own:
            name = name[name.index(".") + 1 :]
        found[net.rename_key(name)] = value
    return found


def differences(net: ConvNet, state: Mapping[str, Tensor]) -> str:
    """Why ``state`` does not fit ``net``, in one line; empty where it does."""
    own = net.state_dict()
    missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    surplus = [key for key in state if key not in own]
    reshaped = [
        f"{key} is {_shape(state[key])}, wanted {_shape(own[key])}"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    parts = [
        f"{len(keys)} {what}: {', '.join(keys[:3])}{', …' if len(keys) > 3 else ''}"
        for what, keys in (("missing", missing), ("not of this network", surplus), ("of another shape", reshaped))
        if keys
    ]
    return "; ".join(parts)


def load_weights(net: ConvNet, path: str | Path) -> None:
    """Start ``net`` from a file of published weights, every tensor of it.

    Raises:
        UserError: the file cannot be read, or its keys or shapes differ from the network's (naming them).
    """
    state = state_dict_of(read_checkpoint(path), net)
    if why := differences(net, state):
        raise UserError(f"the weights in {path} do not fit {type(net).__name__}: {why}")
    net.load_state_dict(state, strict=False)  # differences() was stricter, but for num_batches_tracked


def _shape(tensor: Tensor) -> str:
    return "×".join(str(size) for size in tensor.shape) or "a scalar"
