"""One step on a few images: what has no part in the loss, and what autograd and the optimizer keep."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from convkit.classifier import Batch, Classifier
from convkit.errors import UserError
from convkit.preview.memory import Memory
from convkit.sizes import times

# Two images, as batch norm cannot train on one; with three, what grows with the batch is told from what does not.
FEW = (2, 3)


class Trial(NamedTuple):
    """``unused``: names of parameters that learn, and that the loss does not depend on."""

    unused: list[str]
    memory: Memory


def trial(trainer: Trainer, model: Classifier, batch: Batch) -> Trial:
    """Forward, backward and a step of the optimizers, by the trainer's precision; the model is of no use afterwards.

    Args:
        trainer: its optimizers are set up.
        model: in the mode, and with the parameters learning, that count.
        batch: what one rank gets in a step; few of its images are used.

    Raises:
        UserError: the network cannot train on these images, or its loss is no number.
    """
    precision, net = trainer.precision_plugin, model.net
    precision.convert_module(model)
    images, targets = precision.convert_input(batch)

    def loss(count: int) -> Tensor:
        few = images[:count].clone(), targets[:count].clone()  # a slice would keep the whole batch
        with precision.train_step_context():
            return model.training_step(few, 0)

    sizes = FEW if len(images) > max(FEW) else (len(images),)
    own, kept = [*net.parameters(), *net.buffers()], list[int]()
    try:
        for count in reversed(sizes):
            size, value = kept_bytes(partial(loss, count), own)
            kept.insert(0, size)
        net.zero_grad(set_to_none=True)
        torch.autograd.backward(value)
    except UserError:
        raise
    except Exception as error:  # a stranger's network raises anything
        why = " ".join(str(error).split()) or type(error).__name__
        shape = times((count, *images.shape[1:]))
        raise UserError(f"{type(net).__name__} cannot train on a batch of {shape}: {why}") from error
    if not value.isfinite():
        raise UserError(f"the loss of the first images is {value.item()}, no number to train on")
    unused = [name for name, each in net.named_parameters() if each.requires_grad and each.grad is None]
    for optimizer in trainer.optimizers:
        optimizer.step()
    return Trial(unused, _memory(trainer, model, sizes, kept, len(images)))


def kept_bytes(forward: Callable[[], Tensor], own: Iterable[Tensor]) -> tuple[int, Tensor]:
    """Bytes that autograd keeps for the backward pass of what ``forward`` returns, each storage once; and that.

    Args:
        forward: computes a value.
        own: tensors that are there anyway, the network's parameters and buffers.
    """
    known = {each.untyped_storage().data_ptr() for each in own}
    held: dict[int, torch.UntypedStorage] = {}  # kept, so that no other gets its address

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            held[storage.data_ptr()] = storage
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        result = forward()
    return sum(storage.nbytes() for storage in held.values()), result


def _memory(trainer: Trainer, model: Classifier, sizes: tuple[int, ...], kept: list[int], batch: int) -> Memory:
    learning = [each for each in model.net.parameters() if each.requires_grad]
    state = [value for optimizer in trainer.optimizers for of_one in optimizer.state.values()
             for value in of_one.values() if isinstance(value, Tensor)]  # fmt: skip
    callbacks = [*trainer.callbacks, *(model.configure_callbacks() or [])]  # type: ignore[attr-defined]
    averages = sum(isinstance(callback, WeightAveraging) for callback in callbacks)
    parameters = sum(each.nbytes for each in (*model.net.parameters(), *model.net.buffers()))
    each = (kept[-1] - kept[0]) / (sizes[-1] - sizes[0]) if len(sizes) > 1 else kept[0] / batch
    return Memory(
        batch=batch,
        parameters=parameters,
        gradients=sum(each.nbytes for each in learning),
        optimizer=sum(value.nbytes for value in state),
        average=averages * parameters,
        activations=round(kept[0] + each * (batch - sizes[0])),
    )
