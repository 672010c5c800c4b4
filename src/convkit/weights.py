"""Weights in a file: what it holds, which of a network's tensors they are, and what does not fit."""

import pickle
import warnings
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from convkit.convnet import ConvNet
from convkit.errors import UserError

# What training scripts leave in front of every key: DDP, Lightning modules, torch.compile.
WRAPPERS = ("module.", "net.", "model.", "_orig_mod.")
COUNTER = "num_batches_tracked"  # of batch norm; old files have none, and only a momentum of null needs it


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


def read_weights(path: str | Path) -> dict[str, Any]:
    """The contents of a file of weights: safetensors by its suffix, else as ``read_checkpoint``.

    Raises:
        UserError: there is no such file, or it is not what its suffix says.
    """
    if Path(path).suffix != ".safetensors":
        return read_checkpoint(path)
    try:
        return dict(load_file(path))
    except FileNotFoundError:
        raise UserError(f"there is no file {path}") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
    except SafetensorError as error:
        raise UserError(f"{path} is not a readable safetensors file: it is none, or damaged ({error})") from error


def state_dict_of(contents: Mapping[str, Any], net: ConvNet) -> dict[str, Tensor]:
    """The network's own tensors in a checkpoint, under the names that ``net`` gives them.

    Takes a plain ``state_dict``, a training script's ``{"state_dict": …}`` or ``{"model": …}`` and a Lightning
    checkpoint.
    """
    inner = contents.get("model")
    tensors = contents.get("state_dict", inner if isinstance(inner, Mapping) else contents)
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


def differences(net: ConvNet, state: Mapping[str, Tensor], without: Collection[str] = ()) -> str:
    """Why ``state`` does not fit ``net``, in one line; empty where it does. The keys ``without`` do not matter."""
    own = {key: value for key, value in net.state_dict().items() if key not in without}
    missing = [key for key in own if key not in state and not key.endswith(COUNTER)]
    surplus = [key for key in state if key not in own and key not in without]
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


def _shape(tensor: Tensor) -> str:
    return "×".join(str(size) for size in tensor.shape) or "a scalar"
