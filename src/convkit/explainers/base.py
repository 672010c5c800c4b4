"""What an explainer is, and what all of them begin with: the network unwrapped, its images, its output at a stage.

An explainer is ``(net, images, targets, *, option=…) -> Tensor`` on the images' device: N×C×H×W normalised images and
N indices to N×C×H×W, or to N×1×h×w for a map. ``targets`` are classes; with an option ``of`` that names a stage they
are channels of its output, each at its strongest place in its image. An option ``stage`` is where a map is computed.
Where the second parameter is called ``average``, it is the data set's average image, once for each target.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from convkit.convnet import ConvNet, as_outputs
from convkit.errors import UserError, did_you_mean
from convkit.explainers.untouched import untouched


class Explainer(Protocol):
    """A plugin of the group ``convkit.explainers``; its options have defaults, and it leaves no trace."""

    def __call__(self, net: nn.Module, images: Tensor, targets: Tensor, /) -> Tensor: ...


class Subject(NamedTuple):
    """What is explained, as plain tensors that autograd takes."""

    net: nn.Module
    images: Tensor
    targets: Tensor


@contextmanager
def subject(net: nn.Module, images: Tensor, targets: Tensor) -> Iterator[Subject]:
    """The network itself, out of DDP's or torch.compile's wrapping, inside :func:`untouched`.

    Raises:
        UserError: the images are no N×C×H×W batch, or the targets not N indices.
    """
    if images.ndim != 4 or not images.is_floating_point():
        raise UserError(f"images are N×C×H×W floating-point numbers, not {_told(images)}")
    if targets.shape != images.shape[:1] or targets.is_floating_point():
        raise UserError(f"targets are {len(images)} whole numbers, one for each image, not {_told(targets)}")
    net = unwrapped(net)
    with untouched(net, images.device):
        plain = [tensor.clone() if tensor.is_inference() else tensor.detach() for tensor in (images, targets)]
        yield Subject(net, plain[0], plain[1].to(images.device, torch.int64))


def unwrapped(net: nn.Module) -> nn.Module:
    while True:
        if isinstance(net, DistributedDataParallel):
            net = net.module
        elif isinstance(inner := getattr(net, "_orig_mod", None), nn.Module):  # torch.compile's
            net = inner
        else:
            return net


class _Reached(Exception):  # noqa: N818 - no error
    """The layer has been computed; what lies behind it is not needed."""


def output_at(net: nn.Module, images: Tensor, stage: str | None) -> Tensor:
    """N×C×h×w or N×C: what a stage puts out, and nothing computed behind it; the logits without a stage."""
    if stage is None:
        return as_outputs(net(images)).logits
    found: list[Tensor] = []

    def keep(module: nn.Module, inputs: object, output: object) -> None:
        if not isinstance(output, Tensor) or output.ndim not in (2, 4):
            raise UserError(f"stage {stage} puts out neither N×C×H×W maps nor N×C values")
        assert isinstance(net, ConvNet)  # it has stages
        found.append(net.maps(stage, output))
        raise _Reached

    hook = stage_module(net, stage).register_forward_hook(keep)
    try:
        net(images)
    except _Reached:
        return found[0]
    finally:
        hook.remove()
    raise UserError(f"{type(net).__name__} computes its logits without stage {stage}")


def last_maps(net: nn.Module, images: Tensor) -> str | None:
    """The last stage that puts out maps; None where none does."""
    stages = net.stages if isinstance(net, ConvNet) else {}
    found: list[str] = []

    def note(stage: str) -> Callable[[nn.Module, object, object], None]:
        return lambda module, inputs, output: (
            found.append(stage) if isinstance(output, Tensor) and output.ndim == 4 else None
        )

    with subject(net, images, torch.zeros(len(images), dtype=torch.int64)) as at, torch.no_grad(), ExitStack() as hooks:
        for stage in stages:
            hooks.callback(stage_module(at.net, stage).register_forward_hook(note(stage)).remove)
        at.net(at.images)
    return found[-1] if found else None


def stage_module(net: nn.Module, stage: str) -> nn.Module:
    """The module of a stage; raises UserError where there is none."""
    if not isinstance(net, ConvNet):
        raise UserError(f"{type(net).__name__} has no named stages; convkit.convnet.Wrapped gives it some")
    if stage not in net.stages:
        raise UserError(f"{type(net).__name__} has no stage {stage!r}{did_you_mean(stage, net.stages)}")
    return net.stage(stage)


def chosen(output: Tensor, channels: Tensor, places: Tensor | None = None) -> Tensor:
    """N values of N×C×h×w or N×C: each image's channel, at its place (N×2, row and column) or where it is strongest.

    Raises:
        UserError: there is no such channel or place.
    """
    count = output.shape[1]
    if channels.numel() and not 0 <= int(channels.min()) <= int(channels.max()) < count:
        wrong = next(value for value in channels.tolist() if not 0 <= value < count)
        raise UserError(f"there is no target {wrong}: there are {count}, counted from 0")
    by_image = torch.arange(len(output), device=output.device)
    if output.ndim == 2:
        return output[by_image, channels]
    maps = output[by_image, channels].flatten(1)
    if places is None:
        return maps[by_image, maps.detach().argmax(1)]
    height, width = output.shape[2:]
    rows, columns = places.to(output.device).unbind(1)
    if ((rows < 0) | (rows >= height) | (columns < 0) | (columns >= width)).any():
        raise UserError(f"a place is outside of the maps, which are {height}×{width}")
    return maps[by_image, rows * width + columns]


def pixels(images: Tensor) -> tuple[Tensor, Tensor]:
    """A leaf for gradients, and a copy of it that a network may work on in place."""
    leaf = images.detach().requires_grad_()
    return leaf, leaf.clone()


def input_gradient(at: Subject, of: str | None = None) -> Tensor:
    """N×C×H×W: the gradient of each image's logit, or of its unit of a stage."""
    leaf, copy = pixels(at.images)
    values = chosen(output_at(at.net, copy, of), at.targets)
    return torch.autograd.grad(values.sum(), leaf)[0]


def _told(tensor: Tensor) -> str:
    return f"{'×'.join(map(str, tensor.shape)) or 'a scalar'} of {str(tensor.dtype).removeprefix('torch.')}"
