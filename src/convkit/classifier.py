"""The LightningModule: a network, a schedule, and what is counted. Nothing else."""

import math
from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule
from lightning.pytorch.callbacks import WeightAveraging
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from convkit.convnet import ConvNet, Outputs, as_outputs
from convkit.curves import TrainingCurves
from convkit.datasets.base import ImageData
from convkit.datasets.features import FeatureData
from convkit.errors import UserError
from convkit.metrics import EvaluationMetrics
from convkit.parts import HEAD, select
from convkit.schedules.base import Schedule
from convkit.schedules.watch import Watch
from convkit.start import Start, start_from
from convkit.step_seed import seed_step
from convkit.weights import differences

Batch = tuple[Tensor, Tensor]


class Classifier(LightningModule):
    """Trains ``architecture`` by ``schedule`` and reports errors in percent.

    Metrics: ``train/loss``, ``train/aux/<head>``, ``{val,test}/{loss,top1_error,top5_error}``, ``lr/<group>``.

    Args:
        architecture: a factory, (num_classes, image_shape) to network; its other arguments come from the config.
        schedule: how the network is optimised; evaluation needs none.
        init_from: weights to start from: a run, a checkpoint, a file (state_dict, safetensors), or timm:NAME.
        num_classes: K; taken from the data.
        image_shape: C, H, W; taken from the data.
        channels_last: keep images and weights in that memory format, which some devices compute faster.
        compile: let torch.compile translate the network when a fit starts: minutes at most, then faster steps.
        fresh: stages or patterns that keep their own initial weights, whatever ``init_from`` has for them.
    """

    def __init__(
        self,
        architecture: Callable[[int, tuple[int, int, int]], ConvNet],
        schedule: Schedule | None = None,
        init_from: str | None = None,
        num_classes: int = 10,
        image_shape: tuple[int, int, int] = (3, 32, 32),
        channels_last: bool = False,
        compile: bool = False,  # noqa: A002 - the option's name
        fresh: list[str] | str | None = None,
    ) -> None:
        super().__init__()
        self.net = architecture(num_classes, image_shape)
        self._schedule = schedule
        names = [fresh] if isinstance(fresh, str) else fresh or []
        if names and init_from is None:
            raise UserError(
                "model.fresh is what model.init_from does not load, and there is none; give --model.init_from"
            )
        self.start: Start | None = start_from(self.net, init_from, names) if init_from is not None else None
        self.channels_last, self.compiles = channels_last, compile
        if channels_last:
            self.net.to(memory_format=torch.channels_last)
        self.metrics = EvaluationMetrics(num_classes)
        self.confusion: Tensor | None = None  # of the last validation or test
        self._curves = TrainingCurves(self)
        self.on_features = False  # whether batches are of features, for the head alone
        self._rested: list[torch.nn.Parameter] = []  # what learned before a fit on features

    def __setattr__(self, name: str, value: Any) -> None:
        # Lightning notes here which hook runs, forty times a step; torch's way, which looks for parameters and
        # modules, takes a quarter of a millisecond for that.
        if name == "_current_fx_name":
            self.__dict__[name] = value
        else:
            super().__setattr__(name, value)

    @property
    def schedule(self) -> Schedule:
        """How the network is optimised.

        Raises:
            UserError: it was made without, to be evaluated.
        """
        if self._schedule is None:
            raise UserError("training needs a schedule; give --model.schedule NAME: convkit plugins lists them")
        return self._schedule

    def forward(self, images: Tensor) -> Tensor:
        """N×C×H×W normalised images to N×K logits.

        Of several crops of each image, N×crops×C×H×W, the probabilities are averaged (Krizhevsky et al. 2012, §4.1);
        what comes back is their logarithm, which softmax and cross-entropy take like logits.
        """
        if images.ndim == 5:
            logits = self._outputs(images.flatten(0, 1)).logits
            of_crops = logits.view(*images.shape[:2], -1).log_softmax(2)
            return torch.logsumexp(of_crops, 1) - math.log(images.shape[1])
        return self._outputs(images).logits

    def _outputs(self, images: Tensor) -> Outputs:
        if self.on_features:
            return as_outputs(self.net.stage(HEAD)(images))
        if self.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        return as_outputs(self.net(images))

    # -- training ------------------------------------------------------------------------------------------------

    def setup(self, stage: str) -> None:
        self.on_features = isinstance(self._data, FeatureData)
        if self.on_features:
            head = {*select(self.net, HEAD, HEAD)}
            if stage == "fit":
                body = {name for name, _ in self.net.named_parameters()} - head
                why = "never learns on cached features; leave its rate out"
                self.schedule.refuse_idle_rates(self.net, body, why)
            self._rested = self._rested or [each for each in self.net.parameters() if each.requires_grad]
            self.net.requires_grad_(False)
            self.net.stage(HEAD).requires_grad_(True)
            if self._schedule and (self._schedule.mixup or self._schedule.cutmix):
                raise UserError("mixup and CutMix change the images, whose features are computed once; drop them")
        if self.start is not None and stage == "fit":
            self.start.settle(self.net, getattr(self._data, "class_names", None))
        if stage == "fit" and self.compiles:  # not sooner: who opens the run may hang hooks into it
            self.net.compile()  # in place: the weights keep their names

    def teardown(self, stage: str) -> None:
        self.on_features = False
        for each in self._rested:
            each.requires_grad_(True)
        self._rested = []

    @property
    def _data(self) -> Any:
        """The trainer's data set, where there are both."""
        return getattr(self._trainer, "datamodule", None)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        return self.schedule.optimizers(self.net, self.trainer)

    def configure_callbacks(self) -> list[Callback]:
        return [Watch(self.logged_metrics), *self._schedule.callbacks()] if self._schedule else []

    def on_train_start(self) -> None:
        self._curves.resume()

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        part = batch_idx % self._trainer.accumulate_grad_batches if self._trainer else 0
        seed_step(self.global_step, part, self.global_rank, self.device)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        self._curves.begin_step(self.rates())
        images, targets = self.schedule.mixed(*batch, self.metrics.num_classes)
        losses = self.schedule.losses(self._outputs(images), targets)
        if self.trainer.world_size > 1:
            data = self.trainer.datamodule  # type: ignore[attr-defined]
            share = data.rank_share(batch_idx) if isinstance(data, ImageData) else 1.0
            losses = {name: value * share for name, value in losses.items()}
        self._curves.add(losses)
        return losses["loss"]

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        self._curves.end_step()
        if self.trainer.is_last_batch:
            self._curves.end_epoch()

    def on_train_epoch_end(self) -> None:
        self._curves.end_epoch()  # where max_steps or an interruption ended it before its last batch

    def rates(self) -> dict[str, float]:
        """The learning rate of each parameter group for the step to come, as ``lr/<group>``.

        The loggers get, with the loss of a step, the rates that this step was taken with.
        """
        groups = [group for optimizer in self.trainer.optimizers for group in optimizer.param_groups]
        return {f"lr/{group.get('name', index)}": group["lr"] for index, group in enumerate(groups)}

    @property
    def logged_metrics(self) -> list[str]:
        """The names of the metrics that a fit logs, which a schedule or a callback can watch."""
        of_heads = [f"train/aux/{head}" for head in self.net.aux_heads]
        return ["train/loss", *of_heads, "val/loss", "val/top1_error", "val/top5_error"]

    # -- evaluation ----------------------------------------------------------------------------------------------

    def on_validation_start(self) -> None:
        if self.start is not None:
            self.start.refuse_untrained(self.net, getattr(self._data, "class_names", None))

    on_test_start = on_predict_start = on_validation_start

    def on_validation_epoch_start(self) -> None:
        self.metrics.reset()

    on_test_epoch_start = on_validation_epoch_start

    def validation_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """N×K logits, for callbacks."""
        images, targets = batch
        logits: Tensor = self(images)
        loss = torch.nn.functional.cross_entropy(logits, targets)
        self.metrics.update(logits, targets, loss)
        return logits

    test_step = validation_step

    def predict_step(self, batch: Batch | Tensor, batch_idx: int) -> Tensor:
        """N×K probabilities."""
        images = batch if isinstance(batch, Tensor) else batch[0]
        probabilities: Tensor = self(images).softmax(1)
        return probabilities

    def on_validation_epoch_end(self) -> None:
        self._log_evaluation("val")

    def on_test_epoch_end(self) -> None:
        self._log_evaluation("test")

    def _log_evaluation(self, split: str) -> None:
        values, self.confusion = self.metrics.compute()
        values = {f"{split}/{name}": value for name, value in values.items()}
        # The same on every rank already: the metrics were added up over them. "step" is where loggers put them;
        # Lightning's own count lags by one at the end of an epoch.
        place = {"step": float(self.global_step), "epoch": float(self.current_epoch)}
        self.log_dict({**values, **place}, sync_dist=False)

    # -- checkpoints ---------------------------------------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint |= self._curves.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.start = None  # its weights are replaced
        self._curves.load_state_dict(checkpoint, checkpoint["global_step"])
        callbacks = getattr(self._trainer, "callbacks", [])
        fits = self._trainer is not None and self._trainer.state.fn == "fit"
        if fits and not any(isinstance(each, WeightAveraging) for each in callbacks):
            # Trained with an average of the weights, it goes on without from the weights themselves.
            checkpoint["state_dict"] = checkpoint.get("current_model_state", checkpoint["state_dict"])
        state = {key.removeprefix("net."): value for key, value in checkpoint["state_dict"].items()}
        if why := differences(self.net, state):
            raise UserError(
                f"the checkpoint is of another network than {type(self.net).__name__}: {why}; "
                "without --model.architecture it is the checkpoint's own"
            )
