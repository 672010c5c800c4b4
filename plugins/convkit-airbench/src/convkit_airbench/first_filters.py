"""The whitening's filters from training images as they are, before the first step."""

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from convkit import ImageData, UserError
from convkit_airbench.whitening import WhiteningConv

IMAGES = 5000  # of CIFAR's size; of larger ones fewer, with as many pixels
PIXELS = IMAGES * 32 * 32


class WhitenFromData(Callback):
    """Sets them by the first 5,000 training images without augmentation, as the paper's published program does.

    A data set that can give its training images only as training sees them leaves it to the first batch, and what has
    been set stays.
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        layers = [each for each in pl_module.modules() if isinstance(each, WhiteningConv) and not each.is_set]
        data = trainer.datamodule  # type: ignore[attr-defined]
        if not layers or not isinstance(data, ImageData):
            return
        height, width = data.image_shape[1:]
        try:
            count = min(IMAGES, max(1, PIXELS // (height * width)), len(data.labels("train")))
            images = data.pick("train", torch.arange(count))
        except UserError:
            return
        for layer in layers:
            layer.fit(images.to(layer.weight.device))
