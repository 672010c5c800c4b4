"""Splits, batches and their normalisation, and going on in mid-epoch."""

import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torchvision.transforms import Normalize

from convkit.datasets.augment import Augment
from convkit.datasets.batches import Batches, Split, resident
from convkit.datasets.in_memory import InMemoryData
from convkit.datasets.order import Order
from convkit.datasets.statistics import measure
from convkit.errors import UserError

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


def images(count: int, side: int = 6) -> Split:
    pixels = torch.from_numpy(np.random.RandomState(count).randint(0, 256, (count, 3, side, side), dtype=np.uint8))
    return Split(pixels, torch.arange(count) % 3)


class Made(InMemoryData):
    """Three classes of noise."""

    num_classes = 3
    image_shape = (3, 6, 6)
    class_names: list[str] = ["a", "b", "c"]

    def __init__(self, train: Split | None = None, test: Split | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.given = train or images(90), test or images(30)

    def load(self) -> tuple[Split, Split]:
        return self.given


def batches(
    split: Split, augment: Augment | None = None, *, rank: int = 0, ranks: int = 1, size: int = 8, epoch: int = 0
) -> Batches:
    order = Order(len(split.images), size, seed=5, shuffle=True, rank=rank, ranks=ranks)
    order.set_epoch(epoch)
    return Batches(split, order, MEAN, STD, augment or Augment())


def same(some: list[tuple[Tensor, Tensor]], others: list[tuple[Tensor, Tensor]]) -> bool:
    pairs = list(zip(some, others, strict=True))
    return bool(pairs) and all(torch.equal(a, b) and torch.equal(s, t) for (a, s), (b, t) in pairs)


def test_normalisation_is_torchvisions() -> None:
    split = images(40)
    loader = batches(split)
    order = torch.from_numpy(loader.sampler.indices())
    expected = Normalize(MEAN, STD)(split.images[order].float() / 255)
    torch.testing.assert_close(torch.cat([batch for batch, _ in loader]), expected, rtol=0, atol=1e-6)
    assert torch.equal(torch.cat([targets for _, targets in loader]), split.targets[order])


@pytest.mark.parametrize("done", [0, 1, 3, 4])
def test_goes_on_with_the_very_next_batch(done: int) -> None:
    split, augment = images(40), Augment(2, True)
    whole = list(batches(split, augment, epoch=2))
    first, rest = batches(split, augment, epoch=2), batches(split, augment, epoch=2)
    iterator = iter(first)
    for _ in range(done):
        next(iterator)
    rest.load_state_dict(first.state_dict())
    assert rest.state_dict() == first.state_dict()
    assert same(list(rest), whole[done:])
    rest.sampler.set_epoch(3)  # and the next epoch is whole again
    assert same(list(rest), list(batches(split, augment, epoch=3)))


def test_a_finished_epoch_is_followed_by_a_whole_one() -> None:
    first, rest = batches(images(40)), batches(images(40), epoch=1)
    assert len(list(first)) == 5
    rest.load_state_dict(first.state_dict())
    assert len(list(rest)) == 5


def test_an_epoch_that_was_cut_short_is_followed_by_a_whole_one() -> None:
    first, rest = batches(images(40)), batches(images(40), epoch=1)
    iterator = iter(first)
    next(iterator), next(iterator)
    rest.load_state_dict(first.state_dict())
    assert len(list(rest)) == 5


def test_the_same_images_tomorrow() -> None:
    """What a seed stands for is a promise: the order, the crops and the mirror images of the first release."""
    loader = batches(images(40), Augment(2, True, 2), epoch=2)
    assert loader.sampler.indices()[:8].tolist() == [5, 17, 7, 25, 3, 37, 29, 19]
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    digest = hashlib.sha256()
    for pixels, targets in loader:
        digest.update(((pixels * std + mean) * 255).round().to(torch.uint8).numpy().tobytes())
        digest.update(bytes(targets.tolist()))
    assert digest.hexdigest()[:16] == "509c2cce72fd4249"


class Seen(LightningModule):
    """Trains one number and remembers the batches that it got."""

    def __init__(self) -> None:
        super().__init__()
        self.number = torch.nn.Parameter(torch.zeros(()))
        self.batches: list[tuple[Tensor, Tensor]] = []

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        self.batches.append(batch)
        return self.number * batch[0].mean()

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        pass

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class SaveAt(Callback):
    """A checkpoint after a step, in mid-epoch, or at the end of the epoch that the step ends."""

    def __init__(self, step: int, at_epoch_end: bool, path: Path) -> None:
        self.step, self.at_epoch_end, self.path = step, at_epoch_end, path

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        if trainer.global_step == self.step and not self.at_epoch_end:
            trainer.save_checkpoint(self.path)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.global_step == self.step and self.at_epoch_end:
            trainer.save_checkpoint(self.path)


@pytest.mark.parametrize(
    ("limit", "step", "at_epoch_end"),
    [
        (None, 1, False), (None, 4, False), (None, 6, False), (None, 8, True),
        (3, 2, False), (3, 3, False), (3, 5, False), (3, 6, True),
    ],
)  # fmt: skip
def test_lightning_goes_on_where_it_stopped(limit: int | None, step: int, at_epoch_end: bool, tmp_path: Path) -> None:
    checkpoint = tmp_path / "at.ckpt"

    def fit(resume: Path | None = None) -> list[tuple[Tensor, Tensor]]:
        module = Seen()
        trainer = Trainer(
            accelerator="cpu",
            max_epochs=3,
            limit_train_batches=limit,
            callbacks=[] if resume else [SaveAt(step, at_epoch_end, checkpoint)],
            default_root_dir=tmp_path,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        data = Made(batch_size=20, augment=Augment(1, True))  # 81 training images: 20, 20, 20, 21
        trainer.fit(module, data, ckpt_path=resume, weights_only=True if resume else None)
        return module.batches

    whole = fit()
    assert len(whole) == 3 * (limit or 4)
    assert same(fit(checkpoint), whole[step:])


@pytest.mark.parametrize("ranks", [2, 3, 4])
@pytest.mark.parametrize("count", [43, 47, 48])
def test_the_ranks_batches_make_up_one_process_batch(ranks: int, count: int) -> None:
    split, augment = images(count), Augment(1, True)
    alone = list(batches(split, augment, epoch=1))
    shares = [list(batches(split, augment, rank=rank, ranks=ranks, epoch=1)) for rank in range(ranks)]
    for index, (pixels, targets) in enumerate(alone):
        assert all(len(share) == len(alone) for share in shares)
        for rank in range(ranks):
            assert torch.equal(shares[rank][index][0], pixels[rank::ranks])
            assert torch.equal(shares[rank][index][1], targets[rank::ranks])


def test_only_training_is_shuffled_and_augmented() -> None:
    data = Made(augment=Augment(2, True), batch_size=10, val_fraction=0.2)
    data.setup()
    for loader, split in ((data.val_dataloader(), "val"), (data.test_dataloader(), "test")):
        expected = Normalize(data.mean, data.std)(data.splits[split].images.float() / 255)
        torch.testing.assert_close(torch.cat([pixels for pixels, _ in loader]), expected, rtol=0, atol=1e-6)
    training = torch.cat([targets for _, targets in data.train_dataloader()])
    assert sorted(training.tolist()) == sorted(data.splits["train"].targets.tolist())
    assert not torch.equal(training, data.splits["train"].targets)


def test_splits_are_disjoint_and_complete() -> None:
    data = Made(val_fraction=0.2, seed=4)
    data.setup()
    rows = [row.numpy().tobytes() for name in ("train", "val") for row in data.splits[name].images]
    assert sorted(rows) == sorted(row.numpy().tobytes() for row in images(90).images)
    assert torch.bincount(data.splits["val"].targets).tolist() == [6, 6, 6]
    before = data.splits
    data.setup("test")
    assert data.splits is before


def test_no_validation_share_validates_on_the_test_images() -> None:
    data = Made(val_fraction=0)
    data.setup()
    assert len(data.splits["train"].images) == 90
    assert data.splits["val"] is data.splits["test"]


def test_mean_and_deviation_are_of_the_training_images_alone() -> None:
    data = Made(val_fraction=0.5)
    data.setup()
    mean, std, average = measure(data.splits["train"].images)
    assert (data.mean, data.std) == (mean, std)
    assert torch.equal(data.average_image, average)


def test_a_black_channel_can_be_normalised() -> None:
    black = Split(torch.zeros(10, 3, 4, 4, dtype=torch.uint8), torch.zeros(10, dtype=torch.int64))
    data = Made(black, black, val_fraction=0)
    data.setup()
    (pixels, _), *_ = data.val_dataloader()
    assert pixels.eq(0).all()


def test_indices_say_which_images_they_are() -> None:
    data = Made(val_fraction=0.2, seed=4, per_class=11)
    data.setup()
    published = images(90), images(90), images(30)
    for name, source in zip(("train", "val", "test"), published, strict=True):
        assert torch.equal(data.splits[name].images, source.images[data.indices[name]])
        assert torch.equal(data.splits[name].targets, source.targets[data.indices[name]])
        assert torch.equal(data.labels(name), data.splits[name].targets)
    assert torch.bincount(data.labels("train")).tolist() == [11, 11, 11]


def test_a_smaller_training_set_is_part_of_a_larger_one_and_changes_nothing_else() -> None:
    whole, large, small = (Made(val_fraction=0.2, per_class=count) for count in (None, 20, 5))
    for data in (whole, large, small):
        data.setup()
    sets = [set(data.indices["train"].tolist()) for data in (small, large, whole)]
    assert sets[0] < sets[1] < sets[2]
    for name in ("val", "test"):
        assert torch.equal(small.splits[name].images, whole.splits[name].images)
    assert small.mean != whole.mean  # measured on what it may know


def test_one_tensor_for_training_and_test_keeps_its_order() -> None:
    both = images(90)
    data = Made(both, both, val_fraction=0.2)
    data.setup()
    assert torch.equal(data.splits["test"].images, images(90).images)


def test_what_does_not_fit_on_the_device_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    split, gpu = images(10), torch.device("cuda", 0)  # 1,080 bytes

    def moved(free: int) -> bool:
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 80 * 2**30))
        monkeypatch.setattr(Tensor, "to", lambda tensor, device: device)
        try:
            return resident(split, gpu).images is gpu
        finally:
            monkeypatch.undo()

    assert [moved(free) for free in (2**30, 2 * 1080, 2 * 1080 - 1, 0)] == [True, True, False, False]


def test_batches_from_the_hosts_memory_are_the_same() -> None:
    split, augment = images(40), Augment(2, True)
    here = batches(split, augment)
    elsewhere = Batches(split, here.sampler, MEAN, STD, augment, torch.device("cpu", 0))  # to torch, another device
    assert elsewhere.device != split.images.device
    assert same(list(elsewhere), list(here))


def test_all_augmentations_at_once_are_the_same_on_two_ranks() -> None:
    split, augment = images(47), Augment(1, True, 2, 0.1, 20, 0.2, 0.3, 0.3)
    alone = list(batches(split, augment, epoch=1))
    for rank in (0, 1):
        shares = list(batches(split, augment, rank=rank, ranks=2, epoch=1))
        assert all(torch.equal(share[0], whole[0][rank::2]) for share, whole in zip(shares, alone, strict=True))


EMPTY = Split(torch.zeros(0, 3, 6, 6, dtype=torch.uint8), torch.zeros(0, dtype=torch.int64))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"train": EMPTY}, "Made has no training images"),
        ({"test": EMPTY}, "Made has no test images"),
        ({"test": Split(images(9).images, torch.arange(8))}, "Made has 9 test images, but 8 labels"),
        ({"val_fraction": 0.001}, "data.val_fraction 0.001 leaves no validation images"),
        ({"val_fraction": 0.999}, "data.val_fraction 0.999 leaves no training images"),
    ],
)
def test_bad_splits(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as raised:
        Made(**options).setup()
    assert str(raised.value) == said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"val_fraction": 1.0}, r"data\.val_fraction is a share from 0 up to 1, not 1\.0"),
        ({"val_fraction": -0.1}, r"data\.val_fraction is a share from 0 up to 1, not -0\.1"),
        ({"val_fraction": float("nan")}, r"data\.val_fraction"),
        ({"seed": -1}, r"data\.seed is a whole number from 0 to 2\*\*32 - 1, not -1"),
        ({"fraction": 0}, r"data\.fraction is a share above 0 and up to 1, not 0"),
        ({"batch_size": 0}, r"data\.batch_size is a number of images and cannot be 0"),
    ],
)
def test_bad_options(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Made(**options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"test": images(3), "batch_size": 8}, "3 test images cannot be divided among 4 ranks"),
        ({"batch_size": 3}, "data.batch_size 3 cannot be divided among 4 ranks"),
    ],
)
def test_too_few_images_for_the_ranks(options: dict[str, Any], said: str) -> None:
    data = Made(**options)
    data.setup()
    place = SimpleNamespace(root_device=torch.device("cpu"))
    data.trainer = SimpleNamespace(global_rank=3, world_size=4, strategy=place)  # type: ignore[assignment]
    with pytest.raises(UserError) as raised:
        data.test_dataloader()
    assert str(raised.value) == said


def test_a_rank_knows_its_share_of_a_training_batch() -> None:
    data = Made(images(50), batch_size=20, val_fraction=0)
    assert data.rank_share(0) == 1.0
    data.setup()
    place = SimpleNamespace(root_device=torch.device("cpu"))
    data.trainer = SimpleNamespace(global_rank=2, world_size=3, strategy=place)  # type: ignore[assignment]
    loader = data.train_dataloader()
    sizes = [len(targets) for _, targets in loader]
    assert sizes == [6, 6, 3]  # of 20, 20 and 10
    assert [data.rank_share(index) for index in range(3)] == pytest.approx([6 * 3 / 20, 6 * 3 / 20, 3 * 3 / 10])
