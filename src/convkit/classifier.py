"""The LightningModule: a network, a schedule, and what is counted. Nothing else."""

import math
import os
from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule
from lightning.pytorch.callbacks import WeightAveraging
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from convkit.convnet import ConvNet, Outputs, as_outputs
from convkit.datasets.base import ImageData
from convkit.datasets.features import FeatureData
from convkit.errors import UserError
from convkit.metrics import EvaluationMetrics, RunningMeans
from convkit.parts import HEAD, select
from convkit.schedules.base import Schedule
from convkit.schedules.watch import Watch
from convkit.start import Start, start_from
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
        self._since_log = RunningMeans()
        self._epoch = RunningMeans()
        self._logged_at = 0
        self._on_features = False
        self._rested: list[torch.nn.Parameter] = []  # what learned before a fit on features
        self._used: dict[str, float] = {}  # the rates of the step at hand

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
        if self._on_features:
            return as_outputs(self.net.stage(HEAD)(images))
        if self.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        return as_outputs(self.net(images))

    # -- training ------------------------------------------------------------------------------------------------

    def setup(self, stage: str) -> None:
        self._on_features = isinstance(self._data, FeatureData)
        if self._on_features:
            if stage == "fit":
                self._check_rates()
            self._rested = self._rested or [each for each in self.net.parameters() if each.requires_grad]
            self.net.requires_grad_(False)
            self.net.stage(HEAD).requires_grad_(True)
            if self._schedule and (self._schedule.mixup or self._schedule.cutmix):
                raise UserError("mixup and CutMix change the images, whose features are computed once; drop them")
        if self.start is not None and stage == "fit":
            self.start.settle(self.net, getattr(self._data, "class_names", None))
        if stage == "fit" and self.compiles:  # not sooner: who opens the run may hang hooks into it
            self.net.compile()  # in place: the weights keep their names

    def _check_rates(self) -> None:
        head = {*select(self.net, HEAD, HEAD)}
        for name in (self._schedule and self._schedule.rates) or {}:
            if head.isdisjoint(select(self.net, name, "model.schedule.rates")):
                raise UserError(f"model.schedule.rates: {name!r} never learns on cached features; leave its rate out")

    def teardown(self, stage: str) -> None:
        self._on_features = False
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
        if self._since_log.count and self._logs_now():  # a signal ended the fit before this row was written
            self._log_step()

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        # Dropout and its like draw from (seed, step, rank) alone, and from which part of the step it is where several
        # batches make one: a resumed fit needs no random state from its file.
        if seed := os.environ.get("PL_GLOBAL_SEED"):
            part = batch_idx % self._trainer.accumulate_grad_batches if self._trainer else 0
            self._seed((int(seed) * 1_000_003 + self.global_step) * 65_537 + part * 4_099 + self.global_rank)

    def _seed(self, seed: int) -> None:
        # Not torch.manual_seed: for every kind of device that there is no use of it keeps the call, with the whole
        # stack, for the day that one is initialised. That cost a millisecond a step.
        torch.default_generator.manual_seed(seed)
        if self.device.type in ("cuda", "xpu", "mps"):
            getattr(torch, self.device.type).manual_seed(seed)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        self._used = self.rates()
        images, targets = self.schedule.mixed(*batch, self.metrics.num_classes)
        losses = self.schedule.losses(self._outputs(images), targets)
        if self.trainer.world_size > 1:
            data = self.trainer.datamodule  # type: ignore[attr-defined]
            share = data.rank_share(batch_idx) if isinstance(data, ImageData) else 1.0
            losses = {name: value * share for name, value in losses.items()}
        self._since_log.add(losses)
        self._epoch.add(losses)
        return losses["loss"]

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        # Straight to the loggers: self.log in every step costs more than a small network's own step.
        if self.global_step > self._logged_at and self._logs_now():
            self._log_step()
        if self.trainer.is_last_batch:
            self._end_epoch()

    def _logs_now(self) -> bool:
        return bool(self.global_step % self.trainer.log_every_n_steps == 0)  # type: ignore[attr-defined]

    def on_train_epoch_end(self) -> None:
        self._end_epoch()  # where max_steps or an interruption ended it before its last batch

    def _end_epoch(self) -> None:
        """The mean of the whole epoch, for callbacks and the progress line; the loggers have its parts."""
        if self._since_log.count:
            self._log_step()
        if self._epoch.count:
            self.log_dict(self._over_ranks(self._epoch.read()), on_step=self.trainer.is_last_batch, logger=False)

    def _log_step(self) -> None:
        self._logged_at = self.global_step
        means = self._over_ranks(self._since_log.read())
        if not self.trainer.is_global_zero:
            return
        values = {name: value.item() for name, value in means.items()}
        values |= {"epoch": self.current_epoch, **self._used}
        for logger in self.loggers:
            logger.log_metrics(values, step=self.global_step)

    def _over_ranks(self, means: dict[str, Tensor]) -> dict[str, Tensor]:
        values = self.trainer.strategy.reduce(torch.stack(list(means.values())), reduce_op="mean")
        assert isinstance(values, Tensor)
        return {f"train/{name}": value for name, value in zip(means, values, strict=True)}

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
        means = {"since_log": self._since_log.state_dict(), "epoch": self._epoch.state_dict()}
        checkpoint |= {"running_means": means, "rates": self._used}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.start = None  # its weights are replaced
        if means := checkpoint.get("running_means"):
            self._since_log.load_state_dict(means["since_log"], self.device)
            self._epoch.load_state_dict(means["epoch"], self.device)
            self._logged_at = checkpoint["global_step"]
            self._used = checkpoint["rates"]
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
