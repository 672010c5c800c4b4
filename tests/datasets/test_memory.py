"""A data set in memory takes the memory of its images, and little more while it is read, split and gone through."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

CODE = """
import sys
import torch
from convkit.datasets.arrays import Arrays
from convkit.datasets.augment import Augment

def peak():
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmHWM"))

def gone_through(path):
    data = Arrays(path, augment=Augment(4, True))
    data.setup()
    for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader()):
        for _ in loader:
            pass
    assert data.average_image.shape == (3, 32, 32)
    return sum(split.images.nbytes for split in data.splits.values())

gone_through(sys.argv[1])  # what is loaded once
open("/proc/self/clear_refs", "w").write("5")  # the peak is measured from here
before = peak()
held = gone_through(sys.argv[2])
print(held, peak() - before)
"""


def test_the_peak_is_little_above_the_images(tmp_path: Path) -> None:
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("the peak of a process's memory is read as Linux tells it")
    for name, count in (("small", 400), ("large", 40_000)):
        images, targets = np.zeros((count, 32, 32, 3), np.uint8), np.arange(count) % 10
        images[:] = np.arange(32, dtype=np.uint8)[:, None]  # memory that is never written takes none
        tested = count // 5
        np.savez(
            tmp_path / f"{name}.npz", x_train=images, y_train=targets, x_test=images[:tested], y_test=targets[:tested]
        )
    paths = [str(tmp_path / f"{name}.npz") for name in ("small", "large")]
    done = subprocess.run([sys.executable, "-c", CODE, *paths], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    held, more = map(int, done.stdout.split())
    assert held == 48_000 * 3072
    assert held < more < 1.3 * held
