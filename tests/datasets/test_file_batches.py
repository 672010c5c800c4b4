"""The same images whatever the workers, the ranks and the interruptions; what happens to files that cannot be read."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from convkit.cli.front import main
from convkit.datasets.augment import Augment
from convkit.datasets.file_batches import FileBatches
from convkit.datasets.image_folder import ImageFolder
from convkit.errors import UserError

KNOWN: dict[str, Any] = {"mean": [0.5, 0.4, 0.3], "std": [0.3, 0.2, 0.1]}
Batch = tuple[Tensor, Tensor]


def ready(root: Path, **options: Any) -> ImageFolder:
    data = ImageFolder(str(root), **{"size": 16, "batch_size": 8, "workers": 0, "seed": 5, **KNOWN, **options})
    data.prepare_data()
    data.setup()
    return data


def training(root: Path, *, rank: int = 0, ranks: int = 1, epoch: int = 0, **options: Any) -> FileBatches:
    data = ready(root, **options)
    place = SimpleNamespace(root_device=torch.device("cpu"))
    data.trainer = SimpleNamespace(global_rank=rank, world_size=ranks, strategy=place)  # type: ignore[assignment]
    loader = data.train_dataloader()
    loader.sampler.set_epoch(epoch)
    return loader


def same(some: list[Batch], others: list[Batch]) -> bool:
    pairs = list(zip(some, others, strict=True))
    return bool(pairs) and all(torch.equal(a, b) and torch.equal(s, t) for (a, s), (b, t) in pairs)


@pytest.fixture
def root(tree: Callable[..., Path]) -> Path:
    return tree("train/cat", "train/dog", "val/cat", "val/dog", count=15)


@pytest.mark.parametrize("augment", [None, Augment(pad=2, brightness=0.2, cutout=4)])
def test_the_same_images_on_any_number_of_workers(root: Path, augment: Augment | None) -> None:
    expected = [list(training(root, epoch=epoch, augment=augment)) for epoch in (0, 1)]
    assert not same(expected[0][:1], expected[1][:1])
    loader = training(root, workers=2, augment=augment)
    for epoch in (0, 1, 0):
        loader.sampler.set_epoch(epoch)
        before = torch.get_rng_state()
        assert same(list(loader), expected[epoch])
        assert torch.equal(torch.get_rng_state(), before)  # the fit's random numbers are its own


@pytest.mark.parametrize("ranks", [2, 3])
def test_the_ranks_batches_make_up_one_process_batch(root: Path, ranks: int) -> None:
    options: dict[str, Any] = {"epoch": 1, "augment": Augment(pad=2, contrast=0.2)}
    alone = list(training(root, **options))
    shares = [list(training(root, rank=rank, ranks=ranks, **options)) for rank in range(ranks)]
    for index, (pixels, targets) in enumerate(alone):
        for rank in range(ranks):
            assert torch.equal(shares[rank][index][0], pixels[rank::ranks])
            assert torch.equal(shares[rank][index][1], targets[rank::ranks])


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("done", [0, 1, 2])
def test_goes_on_with_the_very_next_batch(root: Path, done: int, workers: int) -> None:
    whole = list(training(root, epoch=2))
    first, rest = (training(root, epoch=2, workers=workers) for _ in range(2))
    iterator = iter(first)
    for _ in range(done):
        next(iterator)
    rest.load_state_dict(first.state_dict())
    assert same(list(rest), whole[done:])
    rest.sampler.set_epoch(3)  # and the next epoch is whole again
    assert same(list(rest), list(training(root, epoch=3)))


class Seen(LightningModule):
    """Trains one number and remembers the batches that it got."""

    def __init__(self) -> None:
        super().__init__()
        self.number = torch.nn.Parameter(torch.zeros(()))
        self.batches: list[Batch] = []

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        self.batches.append(batch)
        return self.number * batch[0].mean()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        pass

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class SaveAt(Callback):
    def __init__(self, step: int, path: Path) -> None:
        self.step, self.path = step, path

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        if trainer.global_step == self.step:
            trainer.save_checkpoint(self.path)


@pytest.mark.parametrize(("limit", "step"), [(None, 2), (2, 1), (2, 3)])
def test_lightning_goes_on_where_it_stopped(limit: int | None, step: int, root: Path, tmp_path: Path) -> None:
    checkpoint = tmp_path / "at.ckpt"

    def fit(resume: Path | None = None) -> list[Batch]:
        module = Seen()
        trainer = Trainer(
            accelerator="cpu",
            max_epochs=2,
            limit_train_batches=limit,
            limit_val_batches=0,
            callbacks=[] if resume else [SaveAt(step, checkpoint)],
            default_root_dir=tmp_path,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(module, ready(root, workers=2), ckpt_path=resume, weights_only=True if resume else None)
        return module.batches

    whole = fit()
    assert len(whole) == 2 * (limit or 3)
    assert same(fit(checkpoint), whole[step:])


def test_every_image_once_an_epoch_normalised(root: Path) -> None:
    data = ready(root)
    batches = list(data.val_dataloader())
    assert [len(targets) for _, targets in batches] == [8, 8, 14]  # a rest of 6 joins the batch before it
    assert torch.equal(torch.cat([targets for _, targets in batches]), data.labels("val"))
    raw = torch.empty(16 * 16 * 3, dtype=torch.uint8).view(3, 16, 16)
    images = data.val_dataloader().images
    images.view(images._picture(int(data.splits["val"][3])), np.empty(0), raw)
    mean, std = (torch.tensor(KNOWN[name])[:, None, None] for name in ("mean", "std"))
    torch.testing.assert_close(batches[0][0][3], (raw / 255 - mean) / std, rtol=0, atol=1e-5)


def test_ten_crops_are_for_test_and_predict(root: Path) -> None:
    data = ready(root, ten_crop=True, workers=2)
    shapes = {
        name: next(iter(getattr(data, f"{name}_dataloader")()))[0].shape for name in ("train", "val", "test", "predict")
    }
    assert shapes == {name: (8, *((10,) if name in ("test", "predict") else ()), 3, 16, 16) for name in shapes}
    centres = torch.cat([images[:, 0] for images, _ in data.test_dataloader()])
    assert torch.equal(centres, torch.cat([images for images, _ in data.val_dataloader()]))


# -- what cannot be read -----------------------------------------------------------------------------------------------


def damage(root: Path, *names: str) -> list[Path]:
    paths = [root / name for name in names]
    for index, path in enumerate(paths):
        path.write_bytes(b"no image" if index % 2 else path.read_bytes()[:200])
    return paths


@pytest.mark.parametrize("workers", [0, 2])
def test_a_file_that_cannot_be_read_stops_it(root: Path, workers: int) -> None:
    (broken,) = damage(root, "train/dog/006.jpg")
    with pytest.raises(UserError) as raised:
        list(training(root, workers=workers))
    said = str(raised.value)
    assert said.startswith(f"{broken} cannot be read: ")
    assert said.endswith("; remove or replace it, or leave out what cannot be read with --data.on_error skip")
    assert "\n" not in said
    assert not multiprocessing.active_children()  # its workers have ended


@pytest.mark.parametrize("workers", [0, 2])
def test_or_is_left_out_and_listed(root: Path, workers: int) -> None:
    augment = Augment(pad=2)
    whole = list(training(root, augment=augment))
    broken = damage(root, "train/dog/006.jpg", "train/cat/001.JPEG", "val/dog/003.jpg")
    loader = training(root, workers=workers, on_error="skip", augment=augment)
    rows = loader.rows[loader.sampler.indices()]
    for batch, (images, targets) in enumerate(loader):
        start, stop = loader.sampler.bounds(batch)
        left = [
            loader.images.files.root / loader.images.files.name(row).decode() not in broken for row in rows[start:stop]
        ]
        assert torch.equal(images, whole[batch][0][left])  # the others are what they were
        assert torch.equal(targets, whole[batch][1][left])
    assert loader.skipped is not None
    assert set(loader.skipped) == {str(path) for path in broken[:2]}
    assert loader.skipped[str(broken[1])] == "it is not an image"


def test_a_batch_of_nothing_but_broken_files(root: Path) -> None:
    damage(root, *(f"train/{path.parent.name}/{path.name}" for path in (root / "train").glob("*/*")))
    with pytest.raises(UserError, match=r"none of the 8 images of a batch can be read; the last is .*/train/"):
        list(training(root, on_error="skip"))


def test_predictions_are_told_apart_by_their_place_so_none_is_left_out(root: Path) -> None:
    (broken,) = damage(root, "val/dog/003.jpg")
    data = ready(root, on_error="skip")
    assert sum(len(targets) for _, targets in data.test_dataloader()) == 29
    with pytest.raises(UserError, match=str(broken)):
        list(data.predict_dataloader())


def fit(root: Path, runs: Path, *words: str) -> int:
    options = {
        "--data": "image_folder",
        "--data.root": str(root),
        "--data.size": "32",
        "--data.workers": "2",
        "--data.batch_size": "8",
        "--model.architecture": "lenet",
        "--model.schedule": "plateau",
        "--trainer.max_epochs": "2",
        "--trainer.accelerator": "cpu",
        "--runs": str(runs),
        "--name": "photographs",
        "--wandb": "off",
    }
    return main(["fit", *(word for pair in options.items() for word in pair), *words])


def test_a_fit_stops_with_one_line_and_keeps_its_checkpoint(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = tmp_path / "runs"
    assert fit(root, runs, "--trainer.max_epochs", "1") == 0
    (broken,) = damage(root, "train/dog/006.jpg")
    capsys.readouterr()
    given = ["--data.mean", "[0.5,0.5,0.5]", "--data.std", "[0.5,0.5,0.5]"]  # so that measuring does not meet it first
    last = runs / "photographs" / "1" / "checkpoints" / "last.ckpt"
    assert fit(root, runs, "--ckpt_path", str(last), *given) == 2
    assert [line for line in capsys.readouterr().err.splitlines() if str(broken) in line]
    assert last.is_file()


def test_a_fit_lists_what_it_left_out(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = damage(root, "train/dog/006.jpg", "val/cat/001.JPEG")
    assert fit(root, tmp_path / "runs", "--data.on_error", "skip") == 0
    rows = (tmp_path / "runs/photographs/1/skipped.txt").read_text().splitlines()
    assert [row.split("\t")[0] for row in rows] == sorted(map(str, broken))
    assert all(len(row.split("\t")[1]) > 5 for row in rows)
    assert "2 images left out that cannot be read: " in capsys.readouterr().err


def test_a_fit_on_real_photographs_and_ten_crops_of_them(
    shared: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with zipfile.ZipFile(shared("data/hymenoptera_256.zip")) as file:
        file.extractall(tmp_path)
    short = ["--trainer.limit_train_batches", "4", "--trainer.limit_val_batches", "2", "--trainer.max_epochs", "1"]
    assert fit(tmp_path / "hymenoptera_data", tmp_path / "runs", "--data.size", "64", *short) == 0
    run = str(tmp_path / "runs/photographs/1")
    limited = ["--trainer.limit_test_batches", "2", "--trainer.accelerator", "cpu"]
    assert main(["test", "--ckpt_path", run, "--data.ten_crop", "true", *limited]) == 0
    assert (tmp_path / "runs/photographs/1/test/1/test_mistakes.png").is_file()


# -- processes ---------------------------------------------------------------------------------------------------------


def test_workers_do_not_import_lightning() -> None:
    code = "import sys, convkit.datasets.fetch; print({'lightning', 'torchmetrics', 'timm'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_without_shared_memory_the_images_are_the_same(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container may have 64 MB of it; torch's own way to hand over a tensor then waits for ever."""
    expected = list(training(root))

    def none_left(_: Tensor) -> None:
        raise RuntimeError("unable to allocate shared memory(shm) for file </torch_1>: No space left on device (28)")

    monkeypatch.setattr(Tensor, "share_memory_", none_left)
    monkeypatch.setattr(torch.UntypedStorage, "_share_fd_cpu_", none_left)
    assert same(list(training(root, workers=2)), expected)
    cached = ready(root, workers=2, cache="1MB")
    assert cached._cache is not None
    assert len(cached._cache) == 60


def test_a_worker_that_was_killed(root: Path) -> None:
    loader = training(root, workers=1)
    batches = iter(loader)
    next(batches)
    (worker,) = multiprocessing.active_children()
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)
    worker.join()
    time.sleep(0.1)  # a step of the fit, say, in which nothing is told
    with pytest.raises(UserError, match=r"a process that decodes images ended, .*; give fewer --data\.workers"):
        list(batches)


SCRIPT = """
import os, signal, sys, time
from convkit.datasets.image_folder import ImageFolder
data = ImageFolder(sys.argv[1], workers=2, size=16, batch_size=8, mean=[0.5] * 3, std=[0.5] * 3)
data.setup()
loader = data.train_dataloader()
iterator = iter(loader)
next(iterator)
signal.signal(signal.SIGINT, lambda *_: None)
signal.signal(signal.SIGTERM, lambda *_: None)
os.killpg(0, signal.SIGINT)
os.killpg(0, signal.SIGTERM)
print(sum(len(targets) for _, targets in iterator), flush=True)
started = time.time()
data.teardown()
print(time.time() - started, flush=True)
"""


def test_workers_outlive_a_signal_to_all_and_end_when_told(root: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(root)], capture_output=True, text=True, check=True, start_new_session=True
    )
    count, seconds = done.stdout.split()
    assert int(count) == 30 - 8
    assert done.stderr == ""
    assert float(seconds) < 4.5  # torch waits five for one that does not end
