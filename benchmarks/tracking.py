"""What tracking costs an epoch of ``convkit fit``: everything on against everything off.

    python benchmarks/tracking.py [--images 5000] [--epochs 3] [--rounds 5] [--network resnet20] [--threads 1]

ResNet-20 (or LeNet) on random colour images of 32×32, batches of 128, validated once an epoch on a tenth of them.

- *off*: ``--wandb off --trainer.logger false``: no logger at all, not even ``metrics.csv``.
- *on*: W&B offline, ``metrics.csv``, gradient norms by stage, rows every 50 steps, speed, first filters.
- *recorded*: the same in an epoch that FeatureEvolution records, all stages, 16 maps of each with pictures.

Checkpoints, ``state.json`` and the worst mistakes are in all three. Not in any: the end, which a fit has once
(confusion matrix and mistakes to W&B, the artifact, at most 60 seconds of sending). Fits take turns, round after round,
the order turned each time; of each fit's epochs the first is not counted. Ratios are medians over rounds: of *on* and
of *recorded* to *off*, and of *everything*, a fit of ``--of`` epochs (182, as cifar10.yaml) of which FeatureEvolution
records its eight, the others *on*. What is added is a fixed time an epoch, but for FeatureEvolution's: the fewer images
an epoch has, the larger the ratios. CIFAR-10 has 50,000.
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
ON = ["--wandb=offline", "--trainer.callbacks+=GradientNorms", "--trainer.log_every_n_steps=50"]
RECORDED = 8  # epochs that FeatureEvolution records of a long fit


def recording(epochs: int) -> str:
    """FeatureEvolution in every epoch."""
    every = list(range(1, epochs + 1))
    return f"--trainer.callbacks+={{class_path: FeatureEvolution, init_args: {{epochs: {every}}}}}"


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


def tell_ratios(times: dict[str, list[float]], epochs: int) -> None:
    rounds = list(zip(*times.values(), strict=True))
    of_fit = [(on * (epochs - RECORDED) + recorded * RECORDED) / (off * epochs) for off, on, recorded in rounds]
    ratios = {name: [row[place] / row[0] for row in rounds] for place, name in ((1, "on"), (2, "recorded"))}
    ratios[f"everything, of {epochs} epochs {RECORDED} recorded"] = of_fit
    for name, found in ratios.items():
        print(f"ratio {statistics.median(found):.3f}  ({min(found):.3f} to {max(found):.3f})  {name}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--network", choices=NETWORKS, default="resnet20")
    parser.add_argument("--of", type=int, default=182, help="epochs of the whole fit that *everything* is of")
    parser.add_argument("--cpu", action="store_true", help="the process's own time, where others share the machine")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore")
    EpochClock.now = staticmethod(time.process_time if options.cpu else time.perf_counter)
    contestants = {
        "off": ["--wandb=off", "--trainer.logger=false"],
        "on": ON,
        "recorded": [*ON, recording(options.epochs)],
    }
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
        print(f"{name:<9}{statistics.median(found):8.3f} s an epoch  ({min(found):.3f} to {max(found):.3f})")
    tell_ratios(times, options.of)
    versions = f"torch {torch.__version__}, lightning {lightning.__version__}, wandb {wandb.__version__}"
    print(
        f"{options.network}, {options.images} images, {options.rounds} rounds of {options.epochs - 1} epochs, "
        f"{options.threads} thread(s) of {os.cpu_count()} cores, load {load:.1f} before and {os.getloadavg()[0]:.1f} "
        f"after, {versions}"
    )


if __name__ == "__main__":
    main()
