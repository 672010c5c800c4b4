"""What a step of ``convkit fit`` costs, against a hand-written loop, a bare Trainer and the usual way.

    python benchmarks/fit.py [--network lenet] [--steps 200] [--rounds 5] [--threads 1] [--cpu] [--flags]

One step of a batch of 128 in milliseconds, each contestant in turn, round after round: median, least and most, and
what part of the hand-written loop's speed it reaches (median of the rounds' ratios). Images are random, 32×32, grey for
LeNet and coloured for ResNet-20; evaluation is not timed.

  hand      forward, backward and optimizer over images that lie in memory; the loss is read every 50 steps
  bare      Lightning's Trainer with nothing but a training step, over convkit's batches
  fit       `convkit fit` as it is: bar on a terminal, metrics, CSV and W&B (offline), checkpoints
  usual     Lightning's own bar, CSV logger and checkpoint, self.log, torchmetrics; PIL and a DataLoader (lenet only)

``--flags`` adds `fit` with --model.channels_last and --model.compile, without and with the other.
"""

import argparse
import contextlib
import gc
import io
import os
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from clock import Clock
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.utils.data import DataLoader, Dataset
from torchmetrics.classification import MulticlassAccuracy
from torchvision import transforms

from convkit.cli.front import main as convkit
from convkit.datasets.arrays import Arrays

BATCH = 128
NETWORKS = {
    # Steps before the clock starts: more than 50 where it can be, so that W&B has logged, and loaded what it needs.
    "lenet": ((32, 32), "convkit.architectures.lenet.LeNet", {}, 60),
    "resnet20": ((32, 32, 3), "convkit.architectures.resnet_cifar.ResNetCifar", {"depth": 20}, 10),
}


class Terminal(io.StringIO):
    """Where a bar is drawn and nobody looks."""

    def isatty(self) -> bool:
        return True


class Bench:
    """The contestants on one network; each returns seconds a step."""

    def __init__(self, network: str, steps: int, folder: Path) -> None:
        self.shape, self.path, self.options, self.warm_up = NETWORKS[network]
        self.steps, self.folder = self.warm_up + steps, folder
        random = np.random.default_rng(0)
        count = BATCH * self.steps
        images = random.integers(0, 256, (count, *self.shape), dtype=np.uint8)
        targets = random.integers(0, 10, count)
        self.file = folder / f"{network}.npz"
        np.savez(self.file, x_train=images, y_train=targets, x_test=images[:BATCH], y_test=targets[:BATCH])
        self.images, self.targets = images, targets

    def data(self) -> Arrays:
        made = Arrays(str(self.file), val_fraction=0, batch_size=BATCH, mean=self.mean, std=self.mean)
        made.setup()
        return made

    @property
    def mean(self) -> list[float]:
        return [0.5] * (3 if len(self.shape) == 3 else 1)

    def net(self) -> nn.Module:
        torch.manual_seed(0)
        module, _, name = self.path.rpartition(".")
        made: nn.Module = getattr(__import__(module, fromlist=[name]), name)(
            10, self.data().image_shape, **self.options
        )
        return made

    def hand(self) -> float:
        split = self.data().splits["train"]
        mean = torch.tensor(self.mean)[:, None, None] * 255
        net = self.net().train()
        optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
        order, start = torch.randperm(len(split.images)), 0.0
        for step in range(self.steps):
            if step == self.warm_up:
                start = Clock.now()
            chosen = order[step * BATCH : (step + 1) * BATCH]
            images = split.images.index_select(0, chosen).float().sub_(mean).div_(mean)
            loss = F.cross_entropy(net(images), split.targets.index_select(0, chosen))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step % 50 == 49:
                loss.item()
        return (Clock.now() - start) / (self.steps - self.warm_up)

    def bare(self) -> float:
        trainer = Trainer(
            accelerator="cpu",
            max_epochs=1,
            limit_val_batches=0,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[Clock(self.warm_up)],
        )
        trainer.fit(Bare(self.net()), self.data().train_dataloader())
        return Clock.times.pop()

    def fit(self, *flags: str) -> float:
        init = {"class_path": self.path, "init_args": self.options}
        status = convkit([
            "fit", "--data=arrays", f"--data.path={self.file}", "--data.val_fraction=0", f"--data.batch_size={BATCH}",
            f"--data.mean={self.mean}", f"--data.std={self.mean}", f"--model.architecture={init}".replace("'", '"'),
            "--model.schedule=plateau", "--trainer.max_epochs=1", "--trainer.accelerator=cpu",
            f"--runs={self.folder / 'runs'}", *flags,
            f'--trainer.callbacks=[{{"class_path": "clock.Clock", "init_args": {{"warm_up": {self.warm_up}}}}}]',
        ])  # fmt: skip
        assert status == 0
        return Clock.times.pop()

    def usual(self) -> float:
        loader = DataLoader(Pictures(self.images, self.targets), BATCH, shuffle=True)
        trainer = Trainer(
            accelerator="cpu",
            max_epochs=1,
            limit_val_batches=0,
            logger=CSVLogger(str(self.folder / "usual")),
            enable_model_summary=False,
            callbacks=[Clock(self.warm_up)],
        )
        trainer.fit(Usual(self.net()), loader)
        return Clock.times.pop()


class Bare(LightningModule):
    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        return F.cross_entropy(self.net(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)


class Usual(Bare):
    def __init__(self, net: nn.Module) -> None:
        super().__init__(net)
        self.accuracy = MulticlassAccuracy(10)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        logits = self.net(batch[0])
        loss = F.cross_entropy(logits, batch[1])
        self.accuracy(logits, batch[1])
        self.log("train/loss", loss, prog_bar=True)
        self.log("train/accuracy", self.accuracy, prog_bar=True)
        return loss


class Pictures(Dataset[tuple[Tensor, int]]):
    """As torchvision's own data sets are: an array, a PIL image, a tensor."""

    def __init__(self, images: np.ndarray[Any, Any], targets: np.ndarray[Any, Any]) -> None:
        self.images, self.targets = images, targets.tolist()
        self.transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.5,), (0.5,))])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image: Tensor = self.transform(Image.fromarray(self.images[index]))
        return image, self.targets[index]


@contextlib.contextmanager
def unseen() -> Iterator[None]:
    """Whatever is printed goes to a terminal that nobody looks at."""
    with contextlib.redirect_stdout(Terminal()), contextlib.redirect_stderr(Terminal()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=NETWORKS, default="lenet")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cpu", action="store_true", help="the process's own time, where others share the machine")
    parser.add_argument("--without", nargs="*", default=[], help="contestants to leave out")
    parser.add_argument("--flags", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    Clock.now = staticmethod(time.process_time if options.cpu else time.perf_counter)
    times: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(options.network, options.steps, Path(folder))
        contestants: dict[str, Callable[[], float]] = {"hand": bench.hand, "bare": bench.bare, "fit": bench.fit}
        if options.network == "lenet":
            contestants["usual"] = bench.usual
        if options.flags:
            last, compiled = "--model.channels_last=true", "--model.compile=true"
            for name, flags in {"last": [last], "compiled": [compiled], "both": [last, compiled]}.items():
                contestants[f"fit {name}"] = lambda flags=flags: bench.fit(*flags)
        for _ in range(options.rounds):
            for name, contestant in contestants.items():
                if name in options.without:
                    continue
                gc.collect()
                with unseen():
                    seconds = contestant()
                times.setdefault(name, []).append(1000 * seconds)
    cores, versions = os.cpu_count(), f"torch {torch.__version__}, lightning {lightning.__version__}"
    print(
        f"{options.network}, batch {BATCH}, {options.steps} steps, {options.threads} thread(s) of {cores}, {versions}"
    )
    print(f"{'':<14}{'median ms':>10}{'least':>9}{'most':>9}{'of hand':>9}")
    for name, values in times.items():
        ratio = statistics.median(hand / own for hand, own in zip(times["hand"], values, strict=True))
        print(f"{name:<14}{statistics.median(values):>10.2f}{min(values):>9.2f}{max(values):>9.2f}{ratio:>9.2f}")
    if {"bare", "fit"} <= times.keys():
        added = statistics.median(fit - bare for fit, bare in zip(times["fit"], times["bare"], strict=True))
        print(f"fit adds {added:.2f} ms to the bare Trainer's step")


if __name__ == "__main__":
    sys.exit(main())
