"""Mean and standard deviation of the images of a folder, measured once."""

import contextlib
import hashlib
import json
import os
import tempfile
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from convkit.datasets.fetch import ImageFiles, in_chunks, worker_loader
from convkit.datasets.file_batches import account

Statistics = tuple[tuple[float, ...], tuple[float, ...]]

SAMPLE = 2000  # images; the mean of so many is good to about 0.005


def measured(
    images: ImageFiles, rows: NDArray[np.int64], folder: Path, workers: int, skipped: dict[str, str] | None
) -> Statistics:
    """Mean and deviation per channel, of values from 0 to 1, of ``rows`` or an even sample of :data:`SAMPLE` of them.

    Kept in ``folder``, under a name that changes with the sampled files and the view; measured each time where it
    cannot be written.
    """
    rows = rows[np.linspace(0, len(rows) - 1, min(SAMPLE, len(rows))).round().astype(np.int64)]
    key = hashlib.sha256(images.files.stamp(rows) + repr(images.view).encode()).hexdigest()[:20]
    path = folder / f"statistics-{key}.json"
    with contextlib.suppress(OSError, ValueError, KeyError):
        kept = json.loads(path.read_text())
        return tuple(kept["mean"]), tuple(kept["std"])
    mean, std = _measure(images, rows, workers, skipped)
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=folder, delete=False) as file:
            json.dump({"mean": mean, "std": std}, file)
        os.replace(file.name, path)
    return mean, std


def _measure(images: ImageFiles, rows: NDArray[np.int64], workers: int, skipped: dict[str, str] | None) -> Statistics:
    total, squares, pixels = torch.zeros(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64), 0
    for fetched in worker_loader(images, in_chunks(rows), workers):
        account(fetched, images.files, skipped)
        values = fetched.images.to(torch.float64).div_(255)
        total += values.sum((0, 2, 3))
        squares += values.square_().sum((0, 2, 3))
        pixels += values[:, 0].numel()
    mean = total / pixels
    std = (squares / pixels - mean**2).clamp_min(1e-12).sqrt()
    return tuple(mean.tolist()), tuple(std.tolist())
