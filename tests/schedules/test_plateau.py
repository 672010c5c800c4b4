"""The VGG recipe, against its rule computed plainly."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn

from convkit.architectures.lenet import LeNet
from convkit.classifier import Classifier
from convkit.convnet import ConvNet
from convkit.datasets.batches import Split
from convkit.datasets.in_memory import InMemoryData
from convkit.schedules.plateau import Plateau, PlateauRate


def made(**options: Any) -> tuple[torch.optim.Optimizer, PlateauRate]:
    configured: Any = Plateau(**options).optimizers(LeNet(10, (1, 28, 28)), Trainer(logger=False, accelerator="cpu"))
    assert configured["lr_scheduler"]["monitor"] == options.get("monitor", "val/top1_error")
    return configured["optimizer"], configured["lr_scheduler"]["scheduler"]


def plain(curve: list[float], lr: float, factor: float, patience: int, threshold: float, max_drops: int) -> list[Any]:
    """The rate after each validation, and whether training is at its end."""
    best, waited, drops, finished, history = float("inf"), 0, 0, False, []
    for error in curve:
        if error < best - threshold:
            best, waited = error, 0
        else:
            waited += 1
        if waited > patience:
            waited = 0
            if drops < max_drops:
                lr, drops = lr / factor, drops + 1
            else:
                finished = True
        history.append((pytest.approx(lr, rel=1e-12), finished))
    return history


def curve(seed: int, length: int = 60) -> list[float]:
    """An error that falls, less and less, with noise."""
    noise = torch.randn(length, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return [50 / (1 + step / 3) + 2 * value for step, value in enumerate(noise.tolist())]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("lr", "factor", "patience", "threshold", "max_drops"),
    [(1e-2, 10.0, 5, 0.0, 3), (0.1, 2.0, 0, 0.0, 3), (1e-2, 10.0, 2, 0.5, 1), (1.0, 10.0, 1, 0.1, 0)],
)
def test_against_the_rule(seed: int, lr: float, factor: float, patience: int, threshold: float, max_drops: int) -> None:
    options = {"lr": lr, "factor": factor, "patience": patience, "threshold": threshold, "max_drops": max_drops}
    optimizer, rate = made(**options)
    history = []
    for error in curve(seed):
        rate.step(error)
        history.append((optimizer.param_groups[0]["lr"], rate.finished))
    assert history == plain(curve(seed), **options)


def test_three_drops_then_the_end_and_says_so() -> None:
    optimizer, rate = made(patience=1)
    said = []
    for error in [30.0, *[20.0] * 9]:
        rate.step(error)
        said.append(rate.said)
    why = "val/top1_error has not improved on 20 in 2 validations"
    assert said == [
        "", "", "",
        f"{why}: rate 0.01 -> 0.001 (drop 1 of 3)", "",
        f"{why}: rate 0.001 -> 0.0001 (drop 2 of 3)", "",
        f"{why}: rate 0.0001 -> 1e-05 (drop 3 of 3)", "",
        f"{why}: the rate has dropped 3 times, training stops",
    ]  # fmt: skip
    assert optimizer.param_groups[0]["lr"] == pytest.approx(1e-5)


def test_small_rates_drop_too() -> None:
    optimizer, rate = made(lr=1e-7, patience=0)
    for _ in range(5):
        rate.step(1.0)
    assert rate.finished
    assert optimizer.param_groups[0]["lr"] == pytest.approx(1e-10)


def test_the_papers_values() -> None:
    optimizer, rate = made()
    (group,) = optimizer.param_groups
    assert (group["lr"], group["momentum"], group["weight_decay"], group["name"]) == (1e-2, 0.9, 5e-4, "all")
    assert (rate.max_drops, 1 / rate.factor) == (3, 10)


def test_one_step_is_the_textbooks() -> None:
    net = LeNet(10, (1, 28, 28))
    configured: Any = Plateau(lr=0.1, weight_decay=0.01).optimizers(net, Trainer(logger=False, accelerator="cpu"))
    weight = net.fc7.weight
    before = weight.detach().clone()
    velocity = torch.zeros_like(weight)
    for _ in range(3):
        configured["optimizer"].zero_grad()
        weight.sum().backward()
        configured["optimizer"].step()
        velocity = 0.9 * velocity + 1 + 0.01 * before
        before = before - 0.1 * velocity
    torch.testing.assert_close(weight.detach(), before)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"factor": 1.0}, r"plateau: factor divides the rate and must be above 1, not 1\.0"),
        ({"factor": 0.1}, r"plateau: factor divides the rate and must be above 1, not 0\.1"),
        ({"max_drops": -1}, "plateau: max_drops is a count and cannot be -1"),
        ({"patience": -1}, "plateau: patience is a count and cannot be -1"),
    ],
)
def test_bad_options(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Plateau(**options)


@pytest.mark.parametrize("done", [0, 7, 25, 60])
def test_goes_on_from_its_state(done: int, tmp_path: Path) -> None:
    options = {"patience": 2}
    whole_optimizer, whole = made(**options)
    first_optimizer, first = made(**options)
    rest_optimizer, rest = made(**options)
    for error in curve(1)[:done]:
        whole.step(error)
        first.step(error)
    torch.save([first_optimizer.state_dict(), first.state_dict()], tmp_path / "state.pt")
    optimizer_state, state = torch.load(tmp_path / "state.pt", weights_only=True)
    rest_optimizer.load_state_dict(optimizer_state)
    rest.load_state_dict(state)
    for error in [*curve(1)[done:], *[99.0] * 20]:
        whole.step(error)
        rest.step(error)
        assert (rest.said, rest.finished) == (whole.said, whole.finished)
        assert rest_optimizer.param_groups[0]["lr"] == whole_optimizer.param_groups[0]["lr"]  # to the last bit


def test_a_resumed_fit_has_the_options_that_it_is_given_now() -> None:
    first_optimizer, first = made(patience=0)
    for _ in range(5):
        first.step(1.0)
    assert (first.drops, first.finished) == (3, True)
    now = {"lr": 0.5, "momentum": 0.8, "weight_decay": 0.0, "factor": 2.0, "patience": 1, "max_drops": 4}
    optimizer, rate = made(**now)
    optimizer.load_state_dict(first_optimizer.state_dict())
    rate.load_state_dict(first.state_dict())
    (group,) = optimizer.param_groups
    assert (group["lr"], group["momentum"], group["weight_decay"]) == (0.5 / 2**3, 0.8, 0.0)
    assert (rate.patience, rate.max_drops, rate.finished, rate.best) == (1, 4, False, 1.0)
    rate.step(1.0)
    assert rate.said == ""
    rate.step(1.0)
    assert "drop 4 of 4" in rate.said


class Flat(ConvNet):
    """Its logits stay what they are: the error never improves."""

    stages = {"head": "head"}

    def __init__(self, num_classes: int, image_shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.head = nn.Linear(1, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        return 0 * self.head(images.mean((1, 2, 3))[:, None])


class Noise(InMemoryData):
    num_classes, image_shape, class_names = 2, (1, 4, 4), ["a", "b"]

    def load(self) -> tuple[Split, Split]:
        split = Split(torch.randint(0, 256, (32, 1, 4, 4), dtype=torch.uint8), torch.arange(32) % 2)
        return split, split


@pytest.mark.parametrize(
    ("every", "epochs"),
    [(1, 1 + 2 * 4), (3, 3 * (1 + 2 * 4))],  # a first validation, then twice two without improvement and so on
)
def test_counts_validations_not_epochs_and_stops(every: int, epochs: int, tmp_path: Path) -> None:
    rates: list[float] = []

    class Watched(Classifier):
        def on_train_epoch_start(self) -> None:
            rates.append(self.rates()["lr/all"])

    module: LightningModule = Watched(Flat, Plateau(patience=1), num_classes=2, image_shape=(1, 4, 4))
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=100,
        check_val_every_n_epoch=every,
        num_sanity_val_steps=0,
        default_root_dir=tmp_path,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, Noise(batch_size=16, val_fraction=0.25))
    assert len(rates) == epochs
    first = 3 * every
    expected = [1e-2] * first + [1e-3] * (2 * every) + [1e-4] * (2 * every) + [1e-5] * (2 * every)
    assert rates == pytest.approx(expected)
