"""The moving average: against its sum written out, and that evaluation and what is kept are the average."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from tiny_fit import Tiny, classifier, fit
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from convkit.callbacks.checkpoints import BestCheckpoint, LastCheckpoint
from convkit.classifier import Classifier
from convkit.datasets.digits import Digits
from convkit.schedules.averaging import Averaging
from convkit.schedules.cosine import Cosine

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers.*", "ignore:.*treespec, LeafSpec.*")
DECAY = 0.7


class Notes(Callback):
    """The network after every step, and what each validation found and on what."""

    def __init__(self) -> None:
        self.weights: list[dict[str, Tensor]] = []
        self.validated: list[tuple[float, dict[str, Tensor]]] = []

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, *_: Any) -> None:
        self.weights.append({name: value.clone() for name, value in pl_module.net.state_dict().items()})

    def on_validation_batch_end(self, trainer: Trainer, pl_module: Any, *_: Any) -> None:
        self._now = {name: value.clone() for name, value in pl_module.net.state_dict().items()}

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.sanity_checking:
            self.validated.append((trainer.callback_metrics["val/loss"].item(), self._now))


def average(history: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    found = {name: value.double() for name, value in history[0].items()}
    for state in history[1:]:
        found = {name: DECAY * value + (1 - DECAY) * state[name].double() for name, value in found.items()}
    return {name: value for name, value in found.items() if not name.endswith("num_batches_tracked")}


def assert_is(state: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    for name, value in expected.items():
        torch.testing.assert_close(state[name].double(), value, rtol=1e-5, atol=1e-6)


def validation_loss(state: dict[str, Tensor]) -> float:
    net, data = Tiny(10, (1, 8, 8)), Digits(size=8, batch_size=128)
    net.load_state_dict(state)
    data.setup()
    batches = [(net.eval()(images), targets) for images, targets in data.val_dataloader()]
    logits, targets = (torch.cat(part) for part in zip(*batches, strict=True))
    return torch.nn.functional.cross_entropy(logits, targets).item()


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Notes, Trainer, Classifier]:
    """10 steps, a validation after every fifth."""
    folder, notes = tmp_path_factory.mktemp("averaged"), Notes()
    kept = [BestCheckpoint(folder / "checkpoints", "val/top1_error"), LastCheckpoint(folder / "checkpoints")]
    model = classifier(Cosine(lr=0.3, ema=DECAY))
    options = {"max_steps": 10, "val_check_interval": 5}
    return folder, notes, fit(folder, model, notes, *kept, **options), model


def test_against_the_sum_written_out(fitted: tuple[Path, Notes, Trainer, Classifier]) -> None:
    folder, notes, _, _ = fitted
    assert len(notes.weights) == 10
    last = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)
    kept = {name.removeprefix("net."): value for name, value in last["state_dict"].items()}
    assert_is(kept, average(notes.weights))
    for name, value in notes.weights[-1].items():
        assert torch.equal(last["current_model_state"][f"net.{name}"], value)


def test_validation_sees_the_average_and_training_does_not(fitted: tuple[Path, Notes, Trainer, Classifier]) -> None:
    _, notes, _, _ = fitted
    assert len(notes.validated) == 2
    for steps, (loss, state) in zip((5, 10), notes.validated, strict=True):
        assert_is(state, average(notes.weights[:steps]))
        assert loss == pytest.approx(validation_loss(state), rel=1e-5)
        assert loss != pytest.approx(validation_loss(notes.weights[steps - 1]), rel=1e-3)


def test_the_best_checkpoint_is_what_was_validated(fitted: tuple[Path, Notes, Trainer, Classifier]) -> None:
    folder, notes, _, _ = fitted
    best = torch.load(folder / "checkpoints/best.ckpt", weights_only=True)
    (state,) = (
        state for steps, (_, state) in zip((5, 10), notes.validated, strict=True) if steps == best["global_step"]
    )
    for name, value in state.items():
        assert torch.equal(best["state_dict"][f"net.{name}"], value)


def test_a_test_after_the_fit_has_the_average(fitted: tuple[Path, Notes, Trainer, Classifier]) -> None:
    """Lightning's own callback, still there, would put the weights of the last step into the network."""
    folder, _, trainer, model = fitted
    best = torch.load(folder / "checkpoints/best.ckpt", weights_only=True)["state_dict"]
    for ckpt_path in (None, folder / "checkpoints/best.ckpt"):
        trainer.test(model, Digits(size=8, batch_size=128), ckpt_path=ckpt_path, weights_only=True, verbose=False)
        for name, value in best.items():
            assert torch.equal(model.state_dict()[name], value) or ckpt_path is None
    last = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    trainer.validate(model, Digits(size=8, batch_size=128), ckpt_path=folder / "checkpoints/last.ckpt", verbose=False)
    assert all(torch.equal(model.state_dict()[name], value) for name, value in last.items())


def test_what_does_not_move_is_its_own_average() -> None:
    """To the last bit: a sum of two products would wander."""
    model = classifier(Cosine())
    callback = Averaging(0.999)
    callback.setup(Trainer(logger=False, accelerator="cpu"), model, "fit")
    for _ in range(300):
        callback._average_model.update_parameters(model)
    for name, value in callback._average_model.module.state_dict().items():
        assert torch.equal(value, model.state_dict()[name]), name


def test_it_lies_where_the_model_does() -> None:
    """Lightning copies the model before that has moved; and its counter, read in every step, stays with the host."""
    model, callback = classifier(Cosine()), Averaging(0.9)
    trainer = Trainer(logger=False, accelerator="cpu")
    callback.setup(trainer, model, "fit")
    model.to("meta")
    callback.on_fit_start(trainer, model)
    assert {value.device.type for value in callback._average_model.module.parameters()} == {"meta"}
    assert callback._average_model.n_averaged.device.type == "cpu"


def test_without_ema_there_is_none() -> None:
    assert Cosine().callbacks() == []
    (callback,) = Cosine(ema=0.9).callbacks()
    assert isinstance(callback, Averaging)


@pytest.mark.parametrize("decay", [0.9, 0.9999])
def test_a_count_is_no_average(decay: float) -> None:
    """torch's sum, rounded down, would make 8 of a count that stays at 9, and in the end nothing."""
    net = torch.nn.BatchNorm2d(2)
    averaged = AveragedModel(net, multi_avg_fn=Averaging(decay)._kwargs["multi_avg_fn"], use_buffers=True)
    for count in (*range(3000), *[9] * 20):
        net.num_batches_tracked.fill_(count)
        averaged.update_parameters(net)
        assert averaged.module.num_batches_tracked == count
