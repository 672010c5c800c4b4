"""Folders of images that say which one they are, in their colour."""

import json
import multiprocessing
import os
import signal
import socket
import warnings
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import torch.distributed as dist
from convkit_litdata.convert import convert
from convkit_litdata.dataset import LitData
from lightning.pytorch import Callback, LightningModule, Trainer
from PIL import Image
from torch import Tensor

from convkit.datasets.file_batches import FileBatches

KNOWN: dict[str, Any] = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
COUNT = 149  # images to train on
QUIET = dict.fromkeys(("enable_progress_bar", "enable_model_summary", "enable_checkpointing", "logger"), False)


def folder(root: Path, **counts: int) -> Path:
    """``root/part/{even,odd}/N.png``, each image of one colour that is its number; numbers go on over the parts."""
    first = 0
    for part, count in counts.items():
        for number in range(first, first := first + count):
            place = root / part / ("odd" if number % 2 else "even")
            place.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), (number // 256, number % 256, 7)).save(place / f"{number:05d}.png")
    return root


def converted(root: Path, out: Path, chunk_bytes: int = 1500) -> Path:
    """Chunks of about ten images."""
    list(convert(root, out, chunk_bytes))
    return out


def data(root: str | Path, **options: Any) -> LitData:
    return LitData(str(root), **{"size": 8, "resize": 8, "batch_size": 16, "workers": 0, "seed": 3, **KNOWN, **options})


def numbers(images: Tensor) -> list[int]:
    """Which images these are."""
    values = images[:, :2, 4, 4].mul(0.5).add(0.5).mul(255).round().to(torch.int64)
    return (values[:, 0] * 256 + values[:, 1]).tolist()


def training(root: str | Path, *, rank: int = 0, ranks: int = 1, epoch: int = 0, **options: Any) -> FileBatches:
    found = data(root, **options)
    place = SimpleNamespace(root_device=torch.device("cpu"))
    found.trainer = SimpleNamespace(global_rank=rank, world_size=ranks, strategy=place)  # type: ignore[assignment]
    found.setup()
    loader = found.train_dataloader()
    loader.sampler.set_epoch(epoch)
    return loader


def read(loader: FileBatches) -> list[list[int]]:
    found = []
    for pixels, targets in loader:
        found.append(numbers(pixels))
        assert targets.tolist() == [number % 2 for number in found[-1]]
    loader.close()
    return found


def flat(batches: list[list[int]]) -> list[int]:
    return [number for batch in batches for number in batch]


class Seen(LightningModule):
    """Trains nothing, and writes the numbers of the images that it gets to a file: one line a batch."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.number, self.path = torch.nn.Parameter(torch.zeros(())), path

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        images, targets = batch
        found = numbers(images)
        assert targets.tolist() == [number % 2 for number in found]
        with self.path.open("a") as file:
            file.write(json.dumps([self.current_epoch, self.global_step, found]) + "\n")
        return self.number * images.mean()

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        pass

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.0)


class SaveAndDie(Callback):
    """A checkpoint after every step; killed as by a full machine in the middle of one."""

    def __init__(self, path: Path, die_at: int | None) -> None:
        self.path, self.die_at = path, die_at

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        trainer.save_checkpoint(self.path)

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        if trainer.global_step == self.die_at:
            if trainer.world_size > 1:
                trainer.strategy.barrier()
            os.kill(os.getpid(), signal.SIGKILL)


def fit(root: str, place: Path, rank: int, ranks: int, epochs: int, die_at: int | None, options: Any) -> None:
    """Two workers on each rank; goes on from the checkpoint where there is one."""
    checkpoint = place / "at.ckpt"
    trainer = Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        devices=ranks,
        strategy="ddp" if ranks > 1 else "auto",
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        limit_val_batches=0,
        default_root_dir=place,
        callbacks=[SaveAndDie(checkpoint, die_at)],
        **QUIET,
    )
    resumed = checkpoint if checkpoint.exists() else None
    module = Seen(place / f"{'second' if resumed else 'first'}-{rank}.jsonl")
    trainer.fit(
        module, datamodule=data(root, workers=2, **options), ckpt_path=resumed, weights_only=True if resumed else None
    )


def _of_rank(rank: int, ranks: int, port: int, root: str, place: Path, *more: Any) -> None:
    # As a job scheduler starts them: Lightning then starts none itself.
    there = {"LOCAL_RANK": str(rank), "NODE_RANK": "0", "WORLD_SIZE": str(ranks)} if ranks > 1 else {}
    os.environ.update(there, MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    fit(root, place, rank, ranks, *more)
    if dist.is_initialized():
        dist.destroy_process_group()


def run(
    root: str | Path, place: Path, ranks: int, epochs: int = 2, die_at: int | None = None, **options: Any
) -> list[int | None]:
    """A fit in processes of its own, one a rank: how each of them ended."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # that pytest has threads
        forks = multiprocessing.get_context("fork")  # with torch and Lightning imported
        processes = [
            forks.Process(target=_of_rank, args=(rank, ranks, port, str(root), place, epochs, die_at, options))
            for rank in range(ranks)
        ]
        for process in processes:
            process.start()
    for process in processes:
        process.join(120)
        if process.is_alive():
            process.kill()
    return [process.exitcode for process in processes]


def seen(place: Path, epochs: int = 2) -> list[Counter[int]]:
    """How often each image came in each epoch, over ranks and runs."""
    found: list[Counter[int]] = [Counter() for _ in range(epochs)]
    for path in place.glob("*.jsonl"):
        for line in path.read_text().splitlines():
            epoch, _, images = json.loads(line)
            found[epoch].update(images)
    return found
