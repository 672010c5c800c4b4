"""A run's network for use elsewhere: without its auxiliary heads, in one file that says what it takes and gives.

``state_dict``: a dict of ``state_dict`` (tensors) and ``convkit`` (plain values), for ``torch.load``.
``program``: torch.export's, the normalisation in it, for ``torch.export.load``; needs nothing of convkit's.
"""

import json
import os
import tempfile
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from convkit.convnet import ConvNet
from convkit.errors import UserError
from convkit.run import Run, build
from convkit.weights import read_checkpoint

CHECKED = (2, 1, 5)  # images a batch: that of tracing, and others
TOLERANCE = 1e-4  # of the largest logit; the kernels may add up in another order
METADATA = "convkit.json"  # in a program's archive


class Exported(NamedTuple):
    """What was written. ``max_abs_difference`` is that of the logits, the file's against the run's network."""

    path: Path
    format: str
    parameters: int
    max_abs_difference: float


class Normalised(nn.Module):
    """N×C×H×W images from 0 to 1 to N×K logits: the data's normalisation, then the network."""

    mean: Tensor
    std: Tensor

    def __init__(self, net: ConvNet, mean: list[float], std: list[float]) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("mean", torch.tensor(mean)[:, None, None])
        self.register_buffer("std", torch.tensor(std)[:, None, None])

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.net((images - self.mean) / self.std)
        return logits


def export(run: Run, form: str, out: Path) -> Exported:
    """Write the network of ``run`` to ``out``, which must not be there yet.

    The file is read back and its logits compared with the network's, heads and all, before it gets its name.

    Raises:
        UserError: there is such a file; the network cannot be traced, or its logits differ.
    """
    refuse_existing(out)
    net = deepcopy(run.model.net)  # the run keeps its heads
    about = metadata(run)
    images = [torch.rand(count, *about["image_shape"]) for count in CHECKED]
    whole = Normalised(net, about["mean"], about["std"]).eval()
    with torch.no_grad():
        expected = [whole(batch) for batch in images]
    net.drop_aux()
    parameters = sum(parameter.numel() for parameter in net.parameters())
    save, load = FORMATS[form]
    try:
        # Beside its place, for a rename within one file system.
        with tempfile.TemporaryDirectory(prefix=".export-", dir=out.parent) as folder:
            file = Path(folder) / "network.pt2"  # torch.export warns of another suffix
            save(whole, images[0], about, file)
            again = load(run, about, file)
            with torch.no_grad():
                pairs = [(again(batch), logits) for batch, logits in zip(images, expected, strict=True)]
            difference = max((ours - theirs).abs().max().item() for ours, theirs in pairs)
            largest = max(logits.abs().max().item() for logits in expected)
            if not difference <= TOLERANCE * max(1.0, largest):
                raise UserError(
                    f"the exported logits differ from the network's by {difference:.3g}; nothing was written"
                )
            give_name(file, out)
    except OSError as error:
        raise UserError(f"{out} cannot be written: {error.strerror or error}; choose another with --out") from error
    return Exported(out, form, parameters, difference)


def metadata(run: Run) -> dict[str, Any]:
    """What a user of the file must know, in plain values: the architecture, the images that it takes, the classes."""
    contents = read_checkpoint(run.checkpoint)
    known = contents.get("convkit", {})
    missing = [name for name in ("class_names", "image_shape", "mean", "std") if name not in known]
    if missing:
        raise UserError(f"{run.checkpoint} does not say what its data is: it has no {', '.join(missing)}")
    chosen = run.config["model"]["architecture"]
    named = chosen if isinstance(chosen, dict) else {"class_path": chosen}
    return {
        "architecture": named["class_path"],
        "arguments": {**(named.get("init_args") or {}), **(named.get("dict_kwargs") or {})},
        **{name: known[name] for name in ("class_names", "image_shape", "mean", "std")},
        "epoch": contents["epoch"],
        "step": contents["global_step"],
    }


def save_state(whole: Normalised, images: Tensor, about: dict[str, Any], file: Path) -> None:
    torch.save({"state_dict": whole.net.state_dict(), "convkit": about}, file)


def load_state(run: Run, about: dict[str, Any], file: Path) -> Normalised:
    """Into a fresh network, as its user will."""
    net = build(run.config)[0].net
    net.drop_aux()
    net.load_state_dict(read_checkpoint(file)["state_dict"])
    return Normalised(net, about["mean"], about["std"]).eval()


def save_program(whole: Normalised, images: Tensor, about: dict[str, Any], file: Path) -> None:
    batch = torch.export.Dim("batch", min=1)
    try:
        program = torch.export.export(whole, (images,), dynamic_shapes=({0: batch},))
    except Exception as error:  # whatever in a stranger's network torch cannot trace
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"{type(whole.net).__name__} cannot be exported as a program ({reason}); use --format state_dict"
        ) from error
    torch.export.save(program, file, extra_files={METADATA: json.dumps(about)})


def load_program(run: Run, about: dict[str, Any], file: Path) -> Callable[[Tensor], Tensor]:
    return torch.export.load(file).module()


FORMATS: dict[str, tuple[Callable[..., None], Callable[..., Callable[[Tensor], Tensor]]]] = {
    "state_dict": (save_state, load_state),
    "program": (save_program, load_program),
}


def refuse_existing(out: Path) -> None:
    if out.exists() or out.is_symlink():
        raise UserError(f"{out} is there already; choose another file with --out")


def give_name(file: Path, out: Path) -> None:
    """Make the finished ``file`` appear as ``out``, at once, and only where nothing is."""
    try:
        os.link(file, out)
    except FileExistsError:
        refuse_existing(out)
    except OSError:  # a file system without hard links
        refuse_existing(out)
        os.replace(file, out)
