"""What tracking costs an epoch of ``convkit fit``: everything on against everything off.

    python benchmarks/tracking.py [--images 5000] [--epochs 3] [--rounds 5] [--network resnet20] [--threads 1]

ResNet-20 (or LeNet) on random colour images of 32×32, batches of 128, validated once an epoch on a tenth of them.
*On*: W&B offline, gradient norms by stage, first filters, speed, rows every 50 steps. *Off*: no logger. Fits take
turns, round after round, the order turned each time; of each fit's epochs the first is not counted. The ratio is the
median over rounds. ``--features`` adds FeatureEvolution in every epoch of *on*: a fit has it in eight.
"""

import argparse
import contextlib
import gc
import io
import os
import statistics
import tempfile
import time
import warnings
from pathlib import Path

import lightning
import numpy as np
import torch
import wandb
from clock import EpochClock

from convkit.cli.front import main as convkit

NETWORKS = {"resnet20": ["--model.architecture=resnet_cifar"], "lenet": ["--model.architecture=lenet"]}


def make(folder: Path, count: int) -> Path:
    """``count`` images to train on and a tenth as many to validate on."""
    random = np.random.default_rng(0)
    parts = {"train": count, "test": count // 10}
    images = {f"x_{part}": random.integers(0, 256, (of, 32, 32, 3), dtype=np.uint8) for part, of in parts.items()}
    np.savez(folder / "images.npz", **images, **{f"y_{part}": np.arange(of) % 10 for part, of in parts.items()})
    return folder / "images.npz"


def fit(path: Path, runs: Path, epochs: int, words: list[str]) -> list[float]:
    """Seconds of each epoch that counts."""
    EpochClock.times.clear()
    gc.collect()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        status = convkit([
            "fit", "--data=arrays", f"--data.path={path}", "--data.val_fraction=0", "--data.mean=[0.5,0.5,0.5]",
            "--data.std=[0.3,0.3,0.3]", "--model.schedule=plateau", f"--trainer.max_epochs={epochs}",
            "--trainer.accelerator=cpu", "--trainer.callbacks+=clock.EpochClock", f"--runs={runs}", *words,
        ])  # fmt: skip
    assert status == 0
    return EpochClock.times[1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--network", choices=NETWORKS, default="resnet20")
    parser.add_argument("--features", action="store_true")
    parser.add_argument("--cpu", action="store_true", help="the process's own time, where others share the machine")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore")
    EpochClock.now = staticmethod(time.process_time if options.cpu else time.perf_counter)
    on = ["--wandb=offline", "--trainer.callbacks+=GradientNorms"]
    if options.features:
        every = list(range(1, options.epochs + 1))
        evolution = f"{{class_path: FeatureEvolution, init_args: {{epochs: {every}, stages: ['conv*']}}}}"
        on.append(f"--trainer.callbacks+={evolution}")
    contestants = {"off": ["--wandb=off", "--trainer.logger=false"], "on": on}
    times: dict[str, list[float]] = {name: [] for name in contestants}
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        path = make(Path(folder), options.images)
        for number in range(-1, options.rounds):  # the first loads what a fit needs
            order = list(contestants)[:: 1 if number % 2 == 0 else -1]
            for name in order:
                words = [*NETWORKS[options.network], *contestants[name]]
                found = fit(path, Path(folder) / "runs", options.epochs, words)
                if number >= 0:
                    times[name].append(statistics.mean(found))
    for name, found in times.items():
        print(f"{name:<4}{statistics.median(found):8.3f} s an epoch  ({min(found):.3f} to {max(found):.3f})")
    ratios = [with_it / without for without, with_it in zip(times["off"], times["on"], strict=True)]
    print(f"ratio {statistics.median(ratios):.3f}  ({min(ratios):.3f} to {max(ratios):.3f})")
    versions = f"torch {torch.__version__}, lightning {lightning.__version__}, wandb {wandb.__version__}"
    print(
        f"{options.network}, {options.images} images, {options.rounds} rounds of {options.epochs - 1} epochs, "
        f"{options.threads} thread(s) of {os.cpu_count()} cores, load {load:.1f} before and {os.getloadavg()[0]:.1f} "
        f"after, {versions}"
    )


if __name__ == "__main__":
    main()
