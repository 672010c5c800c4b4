"""The network beside a plainer one, the recipe beside the paper's own terms, and that both together learn."""

import copy
import math
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from convkit_airbench.flipping import AlternatingFlip
from convkit_airbench.lookahead import Lookahead
from convkit_airbench.network import Airbench as Network
from convkit_airbench.schedule import Airbench as Schedule
from convkit_airbench.whitening import WhiteningConv
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.multiprocessing import start_processes
from torch.nn import functional as F  # noqa: N812 - the field's own name

from convkit import Classifier, UserError
from convkit.architectures.resnet_cifar import ResNetCifar
from convkit.datasets.arrays import Arrays
from convkit.datasets.augment import Augment
from convkit.datasets.digits import Digits
from convkit.plugins import find

QUIET = dict.fromkeys(("enable_progress_bar", "enable_model_summary", "enable_checkpointing", "logger"), False)


def smooth(count: int, side: int = 32) -> Tensor:
    """Images whose neighbouring pixels and colours go together, as in photographs."""
    torch.manual_seed(1)
    coarse = torch.randn(count, 3, 6, 6) + torch.randn(count, 1, 6, 6)
    return F.interpolate(coarse, (side, side), mode="bicubic") + 0.1 * torch.randn(count, 3, side, side)


def test_registered_by_this_distribution() -> None:
    assert {find(kind, "airbench").distribution for kind in ("architecture", "schedule")} == {"convkit-airbench"}


# -- the network -------------------------------------------------------------------------------------------------------


def test_whitened_patches() -> None:
    """Of the images that it was set by, by numpy: uncorrelated, each of variance λ / (λ + 5e-4)."""
    images, layer = smooth(40), WhiteningConv(3)
    with torch.no_grad():
        out = layer.train()(images)[:, :12].transpose(0, 1).flatten(1).double().numpy()
    windows = np.lib.stride_tricks.sliding_window_view(images.double().numpy(), (2, 2), (2, 3))
    patches = windows.transpose(0, 2, 3, 1, 4, 5).reshape(-1, 12)
    values = np.linalg.svd(patches, compute_uv=False) ** 2 / len(patches)
    np.testing.assert_allclose(out @ out.T / len(patches), np.diag(values / (values + 5e-4)), atol=1e-3)
    assert torch.equal(layer.weight[12:], -layer.weight[:12])


def test_whitened_once_by_the_first_batch_that_trains() -> None:
    net = Network(10, (3, 32, 32), [8, 8, 8])
    before = net.whiten.weight.clone()
    net.eval()(smooth(4))
    assert torch.equal(net.whiten.weight, before)
    net.train()(smooth(4))
    first = net.whiten.weight.clone()
    assert not torch.equal(first, before)
    net(smooth(8))
    assert torch.equal(net.whiten.weight, first)
    twin = Network(10, (3, 32, 32), [8, 8, 8])
    twin(smooth(6))
    twin.load_state_dict(net.state_dict())  # what it was set to comes with the weights
    twin(smooth(8))
    assert torch.equal(twin.whiten.weight, first)
    assert not net.whiten.weight.requires_grad


def test_beside_a_plainer_network() -> None:
    torch.manual_seed(2)
    net = Network(7, (3, 32, 32), [8, 16, 24])
    net.train()(smooth(8))
    net.eval()
    layers: list[nn.Module] = [nn.Conv2d(3, 24, 2), nn.GELU()]
    for maps_in, maps in ((24, 8), (8, 16), (16, 24)):
        norms = [nn.BatchNorm2d(maps, eps=1e-12) for _ in range(2)]
        layers += [nn.Conv2d(maps_in, maps, 3, padding="same", bias=False), nn.MaxPool2d(2), norms[0], nn.GELU()]
        layers += [nn.Conv2d(maps, maps, 3, padding="same", bias=False), norms[1], nn.GELU()]
    plain = nn.Sequential(*layers, nn.MaxPool2d(3), nn.Flatten(), nn.Linear(24, 7, bias=False)).eval()
    own = [each for each in net.modules() if isinstance(each, WhiteningConv | nn.Conv2d | nn.BatchNorm2d | nn.Linear)]
    theirs = [each for each in plain if isinstance(each, nn.Conv2d | nn.BatchNorm2d | nn.Linear)]
    for ours, other in zip(own, theirs, strict=True):
        missing = other.load_state_dict({k: v for k, v in ours.state_dict().items() if k != "is_set"}, strict=False)
        assert missing.missing_keys in ([], ["weight"])  # batch norm's, which is 1
    images = smooth(5)
    with torch.no_grad():
        torch.testing.assert_close(net(images), plain(images) / 9, rtol=1e-4, atol=1e-5)


def test_at_the_start_the_first_filters_hand_on() -> None:
    net = Network(10, (3, 32, 32))
    x = torch.randn(2, 24, 9, 9)
    torch.testing.assert_close(net.block1.conv1(x)[:, :24], x)
    assert sum(each.numel() for each in net.parameters()) == 24 + 9 * (24 * 64 + 64 * 64 + 64 * 256 + 3 * 256**2) + (
        2 * (64 + 256 + 256) + 2560
    )


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 9, 20), (4, 64, 48)])
def test_other_images(shape: tuple[int, int, int]) -> None:
    net = Network(6, shape, [8, 8, 8])
    logits = net(torch.randn(3, *shape))
    assert logits.shape == (3, 6)
    logits.sum().backward()
    assert all(each.grad is not None for each in net.parameters())


def test_mistakes_in_the_network() -> None:
    with pytest.raises(
        ValueError, match=r"^airbench: an image of 8×8 is too small: .* 9×9 is the smallest that works$"
    ):
        Network(10, (3, 8, 8))
    with pytest.raises(ValueError, match=r"^airbench: widths are the maps of three blocks, not \[64\]$"):
        Network(10, (3, 32, 32), [64])
    with pytest.raises(ValueError, match=r"^airbench: scale multiplies the logits and must be above 0, not 0$"):
        Network(10, (3, 32, 32), scale=0)


def _fit_half(rank: int, folder: str) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    layer = WhiteningConv(3)
    layer.fit(smooth(9)[rank * 3 : 3 + rank * 6])  # three images, and six
    torch.save(layer.state_dict(), f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_ranks_whiten_together(tmp_path: Path) -> None:
    start_processes(_fit_half, (str(tmp_path),), nprocs=2, start_method="spawn")
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    alone = WhiteningConv(3)
    alone.fit(smooth(9))
    assert torch.equal(first["weight"], second["weight"])
    # Where two eigenvalues are all but equal, rounding turns their vectors; what the filters make together stays.
    ours, theirs = (each[:12].flatten(1).T @ each[:12].flatten(1) for each in (first["weight"], alone.weight))
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)


# -- the recipe --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [lambda: Network(10, (3, 32, 32), [8, 8, 8]), lambda: ResNetCifar(10, (3, 32, 32), 8)])
def test_groups_have_each_parameter_once(make: Any) -> None:
    net, schedule = make(), Schedule()
    groups = {group["name"]: group for group in schedule.param_groups(net)}
    members = [id(each) for group in groups.values() for each in group["params"]]
    assert sorted(members) == sorted(map(id, net.parameters()))
    assert groups["shifts"]["lr"] == 64 * groups["weights"]["lr"]
    assert math.isclose(*(group["lr"] * group["weight_decay"] for group in list(groups.values())[-2:]))
    assert (
        [each.numel() for each in groups["whiten"]["params"]] == [24] if isinstance(net, Network) else len(groups) == 2
    )


def test_a_step_is_the_papers() -> None:
    """In its own terms: summed losses, and rate and decay for a thousand images, apart from momentum."""
    torch.manual_seed(3)
    ours = nn.Linear(20, 5)
    theirs = copy.deepcopy(ours)
    schedule, per_image = Schedule(), 1024 * (1 + 1 / (1 - 0.85))
    rate, decay = 11.5 / per_image, 0.0153 * 1024 / per_image
    (group,) = schedule.param_groups(ours)  # type: ignore[arg-type]
    one = torch.optim.SGD([group], momentum=schedule.momentum, nesterov=True)
    other = torch.optim.SGD(theirs.parameters(), lr=rate, weight_decay=decay / rate, momentum=0.85, nesterov=True)
    for _ in range(4):
        x, y = torch.randn(1024, 20), torch.randint(0, 5, (1024,))
        for net, optimizer, reduction in ((ours, one, "mean"), (theirs, other, "sum")):
            optimizer.zero_grad()
            F.cross_entropy(net(x), y, label_smoothing=0.2, reduction=reduction).backward()
            optimizer.step()
    torch.testing.assert_close(ours.weight, theirs.weight, rtol=1e-4, atol=1e-5)


class Rates(Callback):
    def __init__(self) -> None:
        self.seen: dict[str, list[float]] = {}

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        for group in trainer.optimizers[0].param_groups:
            self.seen.setdefault(group["name"], []).append(group["lr"])


def fit(
    folder: Path, *callbacks: Callback, epochs: int = 4, width: int = 8, resume: Path | None = None, **options: Any
) -> Classifier:
    """The digits at 16×16 in steps of 256: six an epoch."""
    torch.manual_seed(1)
    model = Classifier(
        lambda *given: Network(*given, [width, 2 * width, 2 * width]), Schedule(**options), None, 10, (1, 16, 16)
    )
    quiet = {**QUIET, "max_epochs": epochs, "accelerator": "cpu", "default_root_dir": folder}
    trainer = Trainer(callbacks=list(callbacks), **quiet)
    trainer.fit(model, Digits(size=16, batch_size=256, augment=Augment(pad=1)), ckpt_path=resume, weights_only=True)
    return model


def test_rates(tmp_path: Path) -> None:
    rates = Rates()
    fit(tmp_path, rates, lr=0.4, whiten_epochs=3, peak=0.25)
    steps = len(rates.seen["weights"])
    expected = 0.4 * np.interp(np.arange(steps) / steps, [0, 0.25, 1], [0.2, 1, 0.07])
    np.testing.assert_allclose(rates.seen["weights"], expected, rtol=1e-6)
    np.testing.assert_allclose(rates.seen["shifts"], 64 * expected, rtol=1e-6)
    np.testing.assert_allclose(rates.seen["whiten"], expected * (np.arange(steps) < steps * 3 / 4), rtol=1e-6)


def test_it_learns(tmp_path: Path) -> None:
    model = fit(tmp_path, epochs=12, width=16, lr=0.4, alternating_flip=False)
    assert model.trainer.callback_metrics["val/top1_error"] < 8


def test_whitened_by_training_images_as_they_are(tmp_path: Path) -> None:
    """By the first ones of the data set, in order and not moved; Lookahead's slow weights have it from the start."""
    images = np.random.RandomState(0).randint(0, 256, (60, 12, 12, 3), dtype=np.uint8)
    labels = np.arange(60) % 2
    np.savez(tmp_path / "images.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    data = Arrays(str(tmp_path / "images.npz"), batch_size=20, val_fraction=0, augment=Augment(pad=4))
    model = Classifier(partial(Network, widths=[8, 8, 8]), Schedule(), num_classes=2, image_shape=(3, 12, 12))
    trainer = Trainer(max_epochs=2, accelerator="cpu", default_root_dir=tmp_path, **QUIET)
    trainer.fit(model, datamodule=data)
    expected = WhiteningConv(3)
    expected.fit(data.pick("train", torch.arange(60)))
    torch.testing.assert_close(model.net.whiten.weight, expected.weight, rtol=0, atol=1e-6)


class SaveAt(Callback):
    def __init__(self, step: int, path: Path) -> None:
        self.step, self.path = step, path

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        if trainer.global_step == self.step:
            trainer.save_checkpoint(self.path)


def test_a_resumed_fit_ends_with_the_same_weights(tmp_path: Path) -> None:
    """Stopped in mid-epoch, between two steps of Lookahead's."""
    whole = fit(tmp_path, SaveAt(8, tmp_path / "at.ckpt"), epochs=2)
    rest = fit(tmp_path, epochs=2, resume=tmp_path / "at.ckpt")
    for (name, ours), theirs in zip(whole.net.state_dict().items(), rest.net.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs), name


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"momentum": 1.0}, "airbench: momentum is a share between 0 and 1, and cannot be 1.0"),
        ({"peak": 0.0}, "airbench: peak is a share between 0 and 1, and cannot be 0.0"),
        ({"start": 2.0}, "airbench: start is a share of lr from 0 to 1, and cannot be 2.0"),
        ({"bias_scale": 0.0}, "airbench: bias_scale multiplies the rate and must be above 0, not 0.0"),
        ({"whiten_epochs": -1}, "airbench: whiten_epochs is a number of epochs and cannot be -1"),
        ({"lr": -1.0}, "model.schedule.lr is a learning rate, at least 0, and cannot be -1.0"),
    ],
)
def test_mistakes_in_the_recipe(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=f"^{said}$"):
        Schedule(**options)


# -- Lookahead ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [23, 25])
def test_lookahead_step_by_step(end: int) -> None:
    """Beside the recursion with numbers; what was saved in the middle goes on as if nothing had been."""
    given = np.random.RandomState(0).randn(end)
    slow = fast = 1.0
    expected = []
    for step, move in enumerate(given, 1):
        fast += move
        if step % 5 == 0:
            share = 0.95**5 * (step / end) ** 3
            fast = slow = share * slow + (1 - share) * fast
        if step == end:  # of a last step that is a fifth one, both
            fast = slow
        expected.append(fast)
    module = SimpleNamespace(net=nn.Linear(1, 1, bias=False).double())
    weight = module.net.weight.data.fill_(1.0)
    trainer, callback, found = SimpleNamespace(global_step=0, estimated_stepping_batches=end), Lookahead(), []
    callback.on_train_start(trainer, module)  # type: ignore[arg-type]
    for step, move in enumerate(given, 1):
        if step == 13:
            state, callback = copy.deepcopy(callback.state_dict()), Lookahead()
            callback.load_state_dict(state)
            callback.on_train_start(trainer, module)  # type: ignore[arg-type]
        weight += move
        trainer.global_step = step
        for _ in range(2):  # a second batch that makes no step of its own changes nothing
            callback.on_train_batch_end(trainer, module, None, None, 0)  # type: ignore[arg-type]
        found.append(weight.item())
    np.testing.assert_allclose(found, expected, rtol=1e-12)


# -- the alternating flip ----------------------------------------------------------------------------------------------


class Seen(LightningModule):
    """Which images were mirrored, by number, in each epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.number = nn.Parameter(torch.zeros(()))
        self.mirrored: list[dict[int, bool]] = []

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        images, targets = batch
        if batch_idx == 0:
            self.mirrored.append({})
        right = images[:, 0, 0, -1] > images[:, 0, 0, 0]
        self.mirrored[-1] |= dict(zip(targets.tolist(), right.tolist(), strict=True))
        return self.number * 0

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        pass

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def numbered(folder: Path, count: int = 50, **options: Any) -> Arrays:
    """Bright on the left; each image a class of its own."""
    images = np.zeros((count, 4, 4, 3), np.uint8)
    images[:, :, 0] = 255
    labels = np.arange(count)
    np.savez(folder / "images.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    return Arrays(str(folder / "images.npz"), batch_size=16, val_fraction=0, **options)


def flipped(folder: Path, data: Any, epochs: int = 4) -> list[dict[int, bool]]:
    module = Seen()
    trainer = Trainer(
        callbacks=[AlternatingFlip()], max_epochs=epochs, accelerator="cpu", default_root_dir=folder, **QUIET
    )
    trainer.fit(module, datamodule=data)
    return module.mirrored


def test_two_epochs_show_each_image_both_ways(tmp_path: Path) -> None:
    epochs = flipped(tmp_path, numbered(tmp_path))
    assert [len(each) for each in epochs] == [50] * 4
    assert epochs[0] == epochs[2]
    assert epochs[1] == epochs[3]
    assert all(epochs[0][number] != epochs[1][number] for number in range(50))
    assert 15 <= sum(epochs[0].values()) <= 35
    assert epochs == flipped(tmp_path, numbered(tmp_path))
    assert epochs != flipped(tmp_path, numbered(tmp_path, seed=1))


def test_a_flip_that_cannot_alternate(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"leave out data\.augment\.flip, or give --model"):
        flipped(tmp_path, numbered(tmp_path, augment=Augment(flip=True)))
