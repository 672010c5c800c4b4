"""Watch features form: at some epochs of a fit, what excited each feature map most, projected to pixels."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from convkit.callbacks.evolution_pages import EvolutionPages
from convkit.classifier import Classifier
from convkit.datasets.base import ImageData
from convkit.datasets.features import FeatureData
from convkit.errors import UserError
from convkit.evolution.winners import Winners
from convkit.inspection.units import Units
from convkit.projections import projectable
from convkit.taps import taps

EPOCHS = (1, 2, 5, 10, 20, 30, 40, 64)  # of Zeiler & Fergus 2014, figure 4
PICTURES = 16


class FeatureEvolution(Callback):
    """Keeps, at some epochs, each feature map's strongest activation over all training images as the network saw them.

    It is found in the training passes themselves; at the end of the epoch the network of that moment, in evaluation
    mode, projects it to pixels (Zeiler & Fergus 2014, §2.1 and figure 4). Written into ``evolution/`` of the run: a
    file of numbers a stage, its strip of pictures, and how much of each stage still changes.

    Args:
        epochs: to record, counted from 1; 1, 2, 5, 10, 20, 30, 40 and 64 by default.
        stages: names or patterns (``conv*``); by default all that can be projected, but the head.
        pictures: of how many maps of each stage, or of which ones; the numbers are kept of all.
    """

    def __init__(
        self, epochs: list[int] | None = None, stages: list[str] | None = None, pictures: int | list[int] = PICTURES
    ) -> None:
        self.epochs = sorted(set(EPOCHS if epochs is None else epochs))
        if not self.epochs or self.epochs[0] < 1:
            raise ValueError(f"FeatureEvolution.epochs are counted from 1, and cannot be {epochs}")
        if min([pictures] if isinstance(pictures, int) else pictures, default=0) < 0:
            raise ValueError(f"FeatureEvolution.pictures is a number of maps, or maps counted from 0, not {pictures}")
        self.stages, self.pictures = stages, pictures
        self._units: dict[str, Units] = {}
        self._winners: dict[str, Winners] = {}
        self._epoch = 0  # that whose winners these are
        self._state: dict[str, Any] = {}
        self._pages = EvolutionPages()
        self._hooks = ExitStack()
        self._hooked = False
        self._ranks = 1
        self._images: Tensor | None = None  # of the training step that runs
        self._positions = torch.empty(0, dtype=torch.int64)

    # -- before ----------------------------------------------------------------------------------------------------

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage != "fit":
            return
        data = trainer.datamodule  # type: ignore[attr-defined]
        if not isinstance(pl_module, Classifier) or not isinstance(data, ImageData):
            raise UserError("FeatureEvolution watches a Classifier on an ImageData")
        if isinstance(data, FeatureData):
            raise UserError("FeatureEvolution has nothing to watch: with --cache_features nothing but the head runs")
        if pl_module.compiles:
            raise UserError("FeatureEvolution looks into the network, which torch.compile hides: --model.compile false")
        self._units = projectable(pl_module.net, data.image_shape, self.stages, "FeatureEvolution.stages")
        for one in self._units.values():
            for channel in [] if isinstance(self.pictures, int) else self.pictures:
                if channel >= one.maps:
                    raise UserError(
                        f"FeatureEvolution.pictures: stage {one.stage} has the maps 0 to {one.maps - 1}, "
                        f"and no {channel}"
                    )
        self._ranks = trainer.world_size

    def pictured(self, one: Units) -> Sequence[int]:
        """The maps of a stage with pictures."""
        return range(min(self.pictures, one.maps)) if isinstance(self.pictures, int) else sorted(set(self.pictures))

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Classifier)
        data = trainer.datamodule  # type: ignore[attr-defined]
        if not hasattr(trainer.train_dataloader, "positions"):
            raise UserError(
                f"FeatureEvolution needs to know which image is which, and the batches of {type(data).__name__} have "
                "no positions"
            )
        folder = None if trainer.fast_dev_run or not trainer.is_global_zero else Path(trainer.default_root_dir)  # type: ignore[attr-defined]
        self._pages.begin(folder, {name: (one, self.pictured(one)) for name, one in self._units.items()})
        if not trainer.ckpt_path or not self._state:
            return
        self._pages.take_along(Path(trainer.ckpt_path).parent.parent, self._state["recorded"])
        self._load(data, pl_module.device)
        # A checkpoint of the epoch's last validation is older than the epoch's end, which does not come again.
        if 0 < self._epoch <= trainer.current_epoch:
            self._record(trainer, pl_module)
            self._epoch, self._winners = 0, {}

    def _load(self, data: ImageData, device: torch.device) -> None:
        kept = self._state["stages"]
        if self._state["epoch"] and kept.keys() == self._units.keys():
            self._begin(self._state["epoch"], data, device)
            for name, winners in self._winners.items():
                winners.load_state_dict(kept[name])

    # -- while it trains -------------------------------------------------------------------------------------------

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        epoch = trainer.current_epoch + 1
        if epoch not in self.epochs:
            return
        assert isinstance(pl_module, Classifier)
        if epoch != self._epoch:
            self._begin(epoch, trainer.datamodule, pl_module.device)  # type: ignore[attr-defined]
        if not self._hooked:
            self._hooks.enter_context(taps(pl_module.net, self._units, self._see))
            self._hooked = True
        self._images = batch[0]
        self._positions = trainer.train_dataloader.positions.to(batch[0].device, non_blocking=True)  # type: ignore[union-attr]

    def _begin(self, epoch: int, data: ImageData, device: torch.device) -> None:
        self._epoch = epoch
        self._winners = {
            name: Winners(one, self.pictured(one), data.image_shape[0], device) for name, one in self._units.items()
        }

    def _see(self, stage: str, output: Tensor) -> None:
        if self._images is not None:  # else it is a validation between two steps
            self._winners[stage].update(output, self._positions, self._images)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._images = None

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._close()
        if self._epoch == trainer.current_epoch + 1:
            self._record(trainer, pl_module)
        self._epoch, self._winners = 0, {}

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Classifier)
        self._pages.settle(pl_module.net)  # against the weights as they have become

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._close()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._close()

    def _close(self) -> None:
        self._hooks.close()
        self._hooked, self._images = False, None

    # -- at the end of an epoch ------------------------------------------------------------------------------------

    def _record(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Classifier)
        self._merge()
        self._pages.record(self._epoch, pl_module.net, self._winners, trainer.datamodule)  # type: ignore[attr-defined]
        self._pages.log(trainer.loggers, trainer.global_step)

    def _merge(self) -> None:
        if self._ranks > 1:
            for winners in self._winners.values():
                winners.merge(_over_ranks)

    def state_dict(self) -> dict[str, Any]:
        """Of the epoch that runs, merged over the ranks: each of them must ask. Earlier ones lie in the run."""
        self._merge()
        stages = {name: winners.state_dict() for name, winners in self._winners.items()}
        return {"epoch": self._epoch, "stages": stages, "recorded": list(self._pages.recorded)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._state = state_dict  # used when training starts: a test after the fit loads too


def _over_ranks(value: Tensor) -> list[Tensor]:
    parts = [torch.empty_like(value) for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather(parts, value.contiguous())
    return parts
