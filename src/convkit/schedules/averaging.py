"""An exponential moving average of the weights, to evaluate and to keep: Lightning's, with its gaps closed."""

from collections.abc import Callable
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn


class Averaging(WeightAveraging):
    """After each step, average ← decay · average + (1 − decay) · weights, buffers included but for
    counts, which are the last ones; it begins as the weights after the first step.

    Validation runs on the average, and a checkpoint's ``state_dict`` is the average: of the best one, what was
    validated. ``current_model_state`` are the weights that a resumed fit goes on with. When training ends, the average
    is what the network has.

    Args:
        decay: the share that the average keeps; 1 / (1 − decay) steps are about its memory.
    """

    def __init__(self, decay: float) -> None:
        super().__init__(multi_avg_fn=_average(decay))

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Lightning copies the model before it is on its device, and would fetch every weight back at each step."""
        assert self._average_model is not None
        self._average_model.module.to(pl_module.device)
        self._average_model.n_averaged = self._average_model.n_averaged.cpu()  # read twice a step

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Of a fit without an average, it begins here; an evaluation has nothing to load and is no cause to warn."""
        if self._average_model is None:
            return
        if "averaging_state" in checkpoint:
            super().on_load_checkpoint(trainer, pl_module, checkpoint)
        else:
            self._average_model.module.load_state_dict(pl_module.state_dict())


def _average(decay: float) -> Callable[..., None]:
    # In this form of the sum a weight that does not move is its own average, to the last bit.
    of_weights: Any = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]

    def update(averages: list[Tensor], values: list[Tensor], updates: Tensor | int) -> None:
        """Of tensors of one kind."""
        if averages[0].is_floating_point():
            of_weights(averages, values, updates)
            return
        for average, value in zip(averages, values, strict=True):
            average.copy_(value)  # torch would round a count down at each step, one that stands still too

    return update
