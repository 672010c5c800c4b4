"""The filters of the first layer as pictures, while they are learned."""

from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn

from convkit.classifier import Classifier
from convkit.convnet import ConvNet
from convkit.report.features import filters_page
from convkit.tracking import show
from convkit.tracking.show import Place
from convkit.tracking.sparing import spared

KEPT = 256  # filters on a page
KEY, FILE = "filters/first_layer", "first_filters.png"


class FirstFilters(Callback):
    """Shows the loggers ``filters/first_layer`` after the epochs 1, 2, 4, 8 … and when training ends (Krizhevsky et al.
    2012, figure 3); the run keeps the last, ``first_filters.png``."""

    def __init__(self, run: Path | None) -> None:
        self.run = run
        self._shown = 0

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        epoch = trainer.current_epoch + 1
        if epoch & (epoch - 1) == 0:  # a power of two
            self._show(trainer, pl_module, epoch)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.current_epoch > self._shown:
            self._show(trainer, pl_module, trainer.current_epoch)

    def _show(self, trainer: Trainer, pl_module: LightningModule, epoch: int) -> None:
        if self.run is None or not isinstance(pl_module, Classifier) or pl_module.on_features:
            return
        self._shown = epoch
        filters = first_filters(pl_module.net)
        if filters is None:
            return
        page = filters_page(filters, f"filters of the first layer, epoch {epoch}")
        with spared(f"{FILE} is not written", OSError):
            page.save(self.run / FILE)
        show.picture(trainer.loggers, Place(KEY, trainer.global_step, epoch), page)


def first_filters(net: ConvNet) -> Tensor | None:
    """K×C×h×w: the weights of the first convolution, on the processor; None of one that sees single pixels."""
    first = next((module for module in net.modules() if isinstance(module, nn.Conv2d)), None)
    if first is None or max(first.weight.shape[2:]) == 1:
        return None
    return first.weight.detach()[:KEPT].float().cpu()
