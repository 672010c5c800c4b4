"""The classifier alone, on features that are computed once."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, Trainer
from torch import Tensor, nn

from convkit.classifier import Classifier
from convkit.convnet import ConvNet, Outputs
from convkit.datasets.arrays import Arrays
from convkit.datasets.augment import Augment
from convkit.datasets.base import ImageData
from convkit.datasets.features import FeatureData
from convkit.errors import UserError
from convkit.run import Run
from convkit.schedules.plateau import Plateau

QUIET: dict[str, Any] = {
    "accelerator": "cpu",
    "logger": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "enable_checkpointing": False,
}


class Small(ConvNet):
    """Batch norm and dropout below the head, and an auxiliary head: what a frozen body must not be moved by."""

    stages = {"conv1": "relu", "head": "fc"}
    aux_heads = {"early": "early"}

    def __init__(self, num_classes: int, image_shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.conv, self.norm, self.relu = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU()
        self.pool, self.dropout = nn.AdaptiveAvgPool2d(2), nn.Dropout(0.5)
        self.fc, self.early = nn.Linear(32, num_classes), nn.Linear(32, num_classes)

    def forward(self, images: Tensor) -> Tensor | Outputs:
        features = self.dropout(self.pool(self.relu(self.norm(self.conv(images)))).flatten(1))
        logits: Tensor = self.fc(features)
        return Outputs(logits, {"early": self.early(features)}) if self.training else logits


@pytest.fixture
def file(tmp_path: Path) -> str:
    random = np.random.RandomState(0)
    targets = random.randint(0, 3, 130)
    images = random.randint(0, 100, (130, 8, 8, 3)) + 70 * targets[:, None, None, None]
    np.savez(
        tmp_path / "made.npz",
        x_train=images[:90].astype(np.uint8),
        y_train=targets[:90],
        x_test=images[90:].astype(np.uint8),
        y_test=targets[90:],
    )
    return str(tmp_path / "made.npz")


def made(file: str, **options: Any) -> Arrays:
    return Arrays(file, **{"batch_size": 16, "val_fraction": 0.2, "seed": 3, **options})


def model() -> Classifier:
    torch.manual_seed(0)
    own = Classifier(Small, Plateau(lr=0.05), num_classes=3, image_shape=(3, 8, 8))
    own.net.norm.running_mean.normal_()
    return own


def on_features(own: Classifier, data: ImageData, **options: Any) -> Trainer:
    trainer = Trainer(**{**QUIET, "max_epochs": 3, **options})
    trainer.fit(own, FeatureData(data, own.net))
    return trainer


def by_hand(file: str, epochs: int) -> tuple[ConvNet, list[float]]:
    """The head trained on whole forward passes through a body in evaluation mode; the errors after each epoch."""
    net, data = model().net.eval(), made(file)
    data.setup()
    optimizer = torch.optim.SGD(net.stage("head").parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    loader, errors = data.train_dataloader(), []
    for epoch in range(epochs):
        loader.sampler.set_epoch(epoch)
        for images, targets in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(images), targets).backward()
            optimizer.step()
        with torch.no_grad():
            wrong = [(net(images).argmax(1) != targets).double() for images, targets in data.val_dataloader()]
        errors.append(100 * torch.cat(wrong).mean().item())
    return net, errors


def test_the_head_learns_what_it_learns_on_a_frozen_body(file: str) -> None:
    own = model()
    before = {key: value.clone() for key, value in own.net.state_dict().items()}
    trainer = on_features(own, made(file), max_epochs=10)
    expected, errors = by_hand(file, 10)
    for key, value in own.net.state_dict().items():
        if key.startswith("fc."):
            assert not torch.equal(value, before[key])
            torch.testing.assert_close(value, expected.state_dict()[key], rtol=0, atol=1e-6)
        else:
            assert torch.equal(value, before[key])  # statistics included
    assert trainer.callback_metrics["val/top1_error"].item() == pytest.approx(errors[-1], abs=1e-4)
    assert 0 < errors[-1] < errors[0]


def test_the_body_runs_once_over_each_image(file: str) -> None:
    own, seen = model(), []
    own.net.conv.register_forward_hook(lambda module, given, out: seen.append(len(out)))
    on_features(own, made(file), max_epochs=5)
    assert sum(seen) == 90  # training and validation images


def test_what_is_evaluated_afterwards_is_the_whole_network(file: str) -> None:
    own, data = model(), made(file)
    trainer = on_features(own, data)
    (after,) = trainer.validate(own, data, verbose=False)
    assert after["val/top1_error"] == pytest.approx(trainer.callback_metrics["val/top1_error"].item())
    images = torch.rand(2, 3, 8, 8)
    assert torch.equal(own.eval()(images), own.net(images))


def test_a_resumed_fit_ends_as_one_that_was_not_stopped(file: str, tmp_path: Path) -> None:
    whole = model()
    on_features(whole, made(file))
    on_features(model(), made(file), max_steps=7, callbacks=[SaveAt(7, tmp_path / "stopped.ckpt")])  # of five an epoch
    second = model()
    for module in second.net.modules():  # the checkpoint's body makes the features, not the one that was built
        if isinstance(module, nn.Conv2d):
            nn.init.zeros_(module.weight)
    trainer = Trainer(**QUIET, max_epochs=3)
    trainer.fit(second, FeatureData(made(file), second.net), ckpt_path=tmp_path / "stopped.ckpt", weights_only=True)
    for key, value in second.net.state_dict().items():
        assert torch.equal(value, whole.net.state_dict()[key])


class SaveAt(Callback):
    def __init__(self, step: int, path: Path) -> None:
        self.step, self.path = step, path

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        if trainer.global_step == self.step:
            trainer.save_checkpoint(self.path)


class Headless(Small):
    stages = {"conv1": "relu"}


class Sharpened(Small):
    def forward(self, images: Tensor) -> Tensor | Outputs:
        given = super().forward(images)
        return 2 * given if isinstance(given, Tensor) else given


class Loaders(ImageData):
    num_classes, image_shape, class_names, mean, std = 3, (3, 8, 8), ["a", "b", "c"], (0.5,) * 3, (0.5,) * 3


def test_after_it_the_whole_network_learns(file: str) -> None:
    own = model()
    on_features(own, made(file), max_epochs=1)
    before = {key: value.clone() for key, value in own.net.named_parameters()}
    Trainer(**QUIET, max_epochs=1).fit(own, made(file))
    for key, value in own.net.named_parameters():
        assert not torch.equal(value, before[key]), key


def test_a_rate_for_what_has_no_part_in_it(file: str) -> None:
    own = model()
    own._schedule = Plateau(lr=0.05, rates={"conv1": 0.001, "head": 0.05})
    with pytest.raises(UserError, match=r"^model\.schedule\.rates: 'conv1' never learns on cached features; leave"):
        on_features(own, made(file))


def test_what_has_no_features(file: str) -> None:
    net = Small(3, (3, 8, 8))
    with pytest.raises(UserError, match=r"^Headless has no stage called head, so nothing can be trained on"):
        FeatureData(made(file), Headless(3, (3, 8, 8)))
    with pytest.raises(UserError, match=r"^Loaders cannot give its training images without augmentation"):
        FeatureData(Loaders(), net)
    with pytest.raises(UserError, match=r"nothing can change from epoch to epoch; drop data.augment$"):
        FeatureData(made(file, augment=Augment(flip=True)), net)
    own = Classifier(Sharpened, Plateau(), num_classes=3, image_shape=(3, 8, 8))
    with pytest.raises(UserError, match=r"^Sharpened's logits are not its head's output alone"):
        on_features(own, made(file))


def test_after_an_error_the_network_is_as_before(file: str) -> None:
    net = Sharpened(3, (3, 8, 8)).train()
    net.norm.eval()
    data = FeatureData(made(file), net)
    data.setup()
    with pytest.raises(UserError):
        data.train_dataloader()
    assert net.training
    assert not net.norm.training
    assert not net.fc._forward_pre_hooks


def test_the_rest_is_the_images(file: str) -> None:
    data = FeatureData(made(file), Small(3, (3, 8, 8)))
    data.setup()
    assert data.class_names == data.images.class_names
    assert data.mean == data.images.mean
    assert torch.equal(data.average_image, data.images.average_image)
    assert torch.equal(data.labels("val"), data.images.labels("val"))
    with pytest.raises(AttributeError):
        data.nothing_of_the_kind  # noqa: B018


def test_from_the_command_line(file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    from convkit.cli.front import main

    monkeypatch.chdir(tmp_path)
    words = [
        "--data=arrays", f"--data.path={file}", "--data.batch_size=16", "--model.architecture=resnet_cifar",
        "--model.architecture.depth=8", "--model.schedule=plateau", "--trainer.accelerator=cpu", "--wandb=off",
        "--trainer.max_epochs=2", "--cache_features=true", "--test_at_end=true", "--name=made",
    ]  # fmt: skip
    assert main(["fit", *words]) == 0
    out = capfd.readouterr().out
    assert "ResNetCifar (74,835 parameters, 195 learn) on features of Arrays, 5 steps an epoch" in out
    run = Run.open("runs/made")
    assert run.config["cache_features"] is True
    assert not (run.directory / "val_mistakes.png").exists()
    assert (run.directory / "test_mistakes.png").is_file()
    assert "(config.yaml, metrics.csv, checkpoints)" in out
    assert main(["fit", *words, "--data.augment.flip=true"]) == 2
    assert "convkit: error: features are computed once" in capfd.readouterr().err
    assert main(["fit", *words, "--model.schedule.mixup=0.2"]) == 2
    assert "convkit: error: mixup and CutMix change the images" in capfd.readouterr().err
    assert main(["test", "--ckpt_path", "runs/made"]) == 0
