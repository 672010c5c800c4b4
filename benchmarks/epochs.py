"""How the time of an epoch of ``convkit fit`` grows with the number of images: in proportion, or faster.

    python benchmarks/epochs.py [--images 5000 15000 50000] [--rounds 5] [--threads 1] [--cpu]

LeNet on random grey images of 32×32, batches of 128, with bar, metrics, CSV and checkpoints as they are, validated once
an epoch on a tenth of the images. The sizes take turns, round after round; of each fit's three epochs the first is not
counted. The exponent is the slope of the logarithm of the median time over that of the number of images: 1 where twice
as many take twice as long.
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
from pathlib import Path

import lightning
import numpy as np
import torch
from clock import EpochClock

from convkit.cli.front import main as convkit

EPOCHS = 3


def make(folder: Path, count: int) -> Path:
    """``count`` images to train on and a tenth as many to validate on."""
    random = np.random.default_rng(0)
    path = folder / f"{count}.npz"
    parts = {"train": count, "test": count // 10}
    images = {f"x_{part}": random.integers(0, 256, (of, 32, 32), dtype=np.uint8) for part, of in parts.items()}
    np.savez(path, **images, **{f"y_{part}": np.arange(of) % 10 for part, of in parts.items()})
    return path


def fit(path: Path, runs: Path) -> list[float]:
    """Seconds of each epoch that counts."""
    EpochClock.times.clear()
    gc.collect()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        status = convkit([
            "fit", "--data=arrays", f"--data.path={path}", "--data.val_fraction=0", "--data.mean=[0.5]",
            "--data.std=[0.3]", "--model.architecture=lenet", "--model.schedule=plateau", "--wandb=off",
            f"--trainer.max_epochs={EPOCHS}", "--trainer.accelerator=cpu", "--trainer.callbacks=clock.EpochClock",
            f"--runs={runs}",
        ])  # fmt: skip
    assert status == 0
    return EpochClock.times[1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[5000, 15_000, 50_000])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cpu", action="store_true", help="the process's own time, where others share the machine")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore")
    EpochClock.now = staticmethod(time.process_time if options.cpu else time.perf_counter)
    times: dict[int, list[float]] = {count: [] for count in options.images}
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        paths = {count: make(Path(folder), count) for count in options.images}
        fit(next(iter(paths.values())), Path(folder) / "runs")  # loads what a fit needs
        for _ in range(options.rounds):
            for count, path in paths.items():
                times[count] += fit(path, Path(folder) / "runs")
    print(f"{'images':>8}{'s an epoch':>12}{'least':>9}{'most':>9}{'µs an image':>13}")
    for count, found in times.items():
        median = statistics.median(found)
        print(f"{count:>8,}{median:>12.3f}{min(found):>9.3f}{max(found):>9.3f}{1e6 * median / count:>13.1f}")
    medians = [statistics.median(found) for found in times.values()]
    slope, _ = np.polyfit(np.log(options.images), np.log(medians), 1)
    versions = f"torch {torch.__version__}, lightning {lightning.__version__}"
    print(
        f"exponent {slope:.3f}; n = {options.rounds * (EPOCHS - 1)} epochs each, {options.threads} thread(s) of "
        f"{os.cpu_count()} cores, load {load:.1f} before and {os.getloadavg()[0]:.1f} after, {versions}"
    )


if __name__ == "__main__":
    sys.exit(main())
