"""Mean, deviation and average of the images of a folder, measured once and kept."""

import contextlib
import hashlib
import os
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from convkit.datasets.fetch import ImageFiles, answers, in_chunks, worker_loader
from convkit.datasets.file_batches import account
from convkit.datasets.statistics import Statistics

SAMPLE = 2000  # images; the mean of so many is good to about 0.005


def measured(
    images: ImageFiles, rows: NDArray[np.int64], folder: Path, workers: int, skipped: dict[str, str] | None
) -> Statistics:
    """Statistics of ``rows``, or of an even sample of :data:`SAMPLE` of them.

    Kept in ``folder``, under a name that changes with the sampled files and the view; measured each time where it
    cannot be written, or where files cannot be read: so that ``skipped`` gets them each time.
    """
    rows = rows[np.linspace(0, len(rows) - 1, min(SAMPLE, len(rows))).round().astype(np.int64)]
    key = hashlib.sha256(images.files.stamp(rows) + repr(images.view).encode()).hexdigest()[:20]
    path = folder / f"statistics-{key}.npz"
    with contextlib.suppress(OSError, ValueError, KeyError, zipfile.BadZipFile), np.load(path) as kept:
        return Statistics(
            tuple(kept["mean"].tolist()), tuple(kept["std"].tolist()), torch.from_numpy(kept["average_image"])
        )
    failed: dict[str, str] | None = None if skipped is None else {}
    found = _measure(images, rows, workers, failed)
    if skipped is not None and failed:
        skipped.update(failed)
        return found
    # Beside those that are already there, then renamed: what is found there is whole.
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as part:
            np.savez(Path(part) / "new.npz", mean=found.mean, std=found.std, average_image=found.average_image.numpy())
            os.replace(Path(part) / "new.npz", path)
    return found


def _measure(images: ImageFiles, rows: NDArray[np.int64], workers: int, skipped: dict[str, str] | None) -> Statistics:
    total = torch.zeros(images.view.shape, dtype=torch.float64)
    squares, count = torch.zeros_like(total), 0
    for fetched in answers(worker_loader(images, in_chunks(rows), workers)):
        account(fetched, images.files, skipped)
        values = fetched.images.to(torch.float32)
        total += values.sum(0)  # exact: 64 · 255² < 2²⁴
        squares += values.square_().sum(0)
        count += len(values)
    average = total / (255 * count)
    mean = average.mean((1, 2))
    std = (squares.mean((1, 2)) / (255**2 * count) - mean**2).clamp_min(1e-12).sqrt()
    return Statistics(tuple(mean.tolist()), tuple(std.tolist()), average.to(torch.float32))
