"""What a plateau policy watches must come: told before the first step, without refusing what a user's callback logs."""

from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch import Callback, LightningModule, Trainer
from tiny_fit import classifier, fit

from convkit.errors import UserError
from convkit.run import Run
from convkit.schedules.plateau import Plateau

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers.*", "ignore:.*treespec, LeafSpec.*")


class Logs(Callback):
    """A user's: a metric of its own, in validation or in training."""

    def __init__(self, name: str) -> None:
        self.name = name

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.name.startswith("val/"):
            pl_module.log(self.name, 1.0)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        if self.name.startswith("train/"):
            pl_module.log(self.name, 1.0, on_step=True)


def test_what_a_fit_logs(tmp_path: Path) -> None:
    model = classifier(Plateau())
    known = ["train/loss", "train/aux/early", "val/loss", "val/top1_error", "val/top5_error"]
    assert model.logged_metrics == known
    trainer = fit(tmp_path, model, max_epochs=1)
    assert {*known} <= {*trainer.callback_metrics} & {name for row in Run(tmp_path).metrics for name in row}


@pytest.mark.parametrize("sanity", [0, 2])
@pytest.mark.parametrize("monitor", ["val/top1", "train/aux/late", "test/loss"])
def test_nothing_logs_it(monitor: str, sanity: int, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"the schedule watches '{monitor}', which nothing logs; "):
        fit(tmp_path, classifier(Plateau(monitor=monitor)), num_sanity_val_steps=sanity)
    assert not Run(tmp_path).metrics


@pytest.mark.parametrize("sanity", [0, 2])
@pytest.mark.parametrize("monitor", ["train/loss", "train/aux/early", "val/loss", "val/top5_error"])
def test_every_metric_of_a_fit_can_be_watched(monitor: str, sanity: int, tmp_path: Path) -> None:
    model = classifier(Plateau(lr=0.5, monitor=monitor, patience=0, threshold=100.0, max_drops=1))
    trainer = fit(tmp_path, model, num_sanity_val_steps=sanity, max_epochs=9)
    assert trainer.current_epoch == 3  # the mark, the drop, the end
    assert model.rates() == {"lr/all": 0.05}


@pytest.mark.parametrize("sanity", [0, 2])
@pytest.mark.parametrize("monitor", ["val/own", "train/own"])
def test_a_users_callback_may_log_it(monitor: str, sanity: int, tmp_path: Path) -> None:
    model = classifier(Plateau(monitor=monitor, patience=0, max_drops=1))
    trainer = fit(tmp_path, model, Logs(monitor), num_sanity_val_steps=sanity, max_epochs=9, enable_checkpointing=False)
    assert trainer.current_epoch == 3


def test_a_users_callback_that_logs_something_else(tmp_path: Path) -> None:
    """The sanity check has heard what it logs."""
    with pytest.raises(UserError, match="'val/owm', which nothing logs; did you mean val/own"):
        fit(tmp_path, classifier(Plateau(monitor="val/owm")), Logs("val/own"), enable_checkpointing=False)
    assert not Run(tmp_path).metrics
    model = classifier(Plateau(monitor="val/owm"))
    with pytest.raises(UserError, match="'val/owm', which nothing logs"):  # only when a validation has been
        fit(tmp_path, model, Logs("val/own"), num_sanity_val_steps=0, enable_checkpointing=False)
