"""Trainer, model and data as they are before the first step of a fit, in this process alone."""

from typing import NamedTuple

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Timer
from lightning.pytorch.trainer.states import TrainerFn

from convkit.datasets.base import ImageData
from convkit.datasets.features import FeatureData
from convkit.errors import UserError


class Steps(NamedTuple):
    """How long a fit is; None where it has no end, or nobody can know.

    ``batches`` of an epoch that are trained on, ``per_epoch`` steps of the optimizer, ``total`` of the whole run.
    """

    batches: int | None = None
    per_epoch: int | None = None
    epochs: int | None = None
    total: int | None = None


def images_of(data: ImageData) -> ImageData:
    """The images themselves: features of them would have to be computed, all of them."""
    return data.images if isinstance(data, FeatureData) else data


def start(trainer: Trainer, model: LightningModule, images: ImageData) -> None:
    """What ``Trainer.fit`` does first. No other rank is started, and no image decoded ahead or measured.

    Raises:
        UserError: the data set cannot be had.
    """
    if trainer.max_epochs is None:  # as Lightning decides when a fit begins
        limited = trainer.max_steps != -1 or any(isinstance(each, Timer) for each in trainer.callbacks)  # type: ignore[attr-defined]
        trainer.fit_loop.max_epochs = -1 if limited else 1000
    trainer.state.fn = TrainerFn.FITTING
    trainer.training = True
    trainer.strategy.connect(model)
    trainer._data_connector.attach_data(model, datamodule=images)
    # To measure mean and deviation takes a pass over the images, to decode them ahead takes minutes and disk space; how
    # bright the images are has no part in what is told here.
    for name in ("mean", "std"):
        if not hasattr(images, name):
            setattr(images, name, (0.5,) * images.image_shape[0])
    if hasattr(images, "cache_limit"):
        images.cache_limit = 0
    images.prepare_data()
    images.setup("fit")
    model.to(trainer.strategy.root_device)


def steps(trainer: Trainer) -> Steps:
    """How many there are, once :func:`start` is done.

    Raises:
        UserError: none; or the loaders' own: fewer images than ranks, say.
    """
    trainer.fit_loop.setup_data()
    batches = trainer.num_training_batches if trainer.limit_train_batches else 0
    total, epochs = trainer.estimated_stepping_batches, trainer.max_epochs
    if not (total and epochs and batches):  # Lightning counts an epoch where max_epochs is 0
        limit = f"trainer.max_steps is {trainer.max_steps}" if epochs else f"trainer.max_epochs is {epochs}"
        raise UserError(f"nothing is left to train: {limit if batches else 'an epoch has no batch'}")
    if batches == float("inf"):
        return Steps(total=int(total) if total > 0 else None)
    per_epoch = -(-int(batches) // trainer.accumulate_grad_batches)
    if total == float("inf"):
        return Steps(int(batches), per_epoch)
    return Steps(int(batches), per_epoch, -(-int(total) // per_epoch), int(total))


def count(images: ImageData, split: str) -> int | None:
    """The number of images of a split, where it is known without reading them all."""
    if type(images).labels is not ImageData.labels:
        return len(images.labels(split))
    loader = getattr(images, f"{split}_dataloader")()
    return len(loader.dataset) if hasattr(getattr(loader, "dataset", None), "__len__") else None
