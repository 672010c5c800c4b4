"""From a folder of images to litdata's format, and back to see that nothing was lost."""

import json
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from convkit import UserError
from convkit.datasets.class_folders import ClassFolders
from convkit.datasets.files import Files
from convkit_litdata.chunks import INDEX, Chunks
from convkit_litdata.dataset import DESCRIPTION, LABELS

PARTS = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}


class Written(NamedTuple):
    """A part that was written and read back."""

    part: str
    images: int
    chunks: int
    bytes: int


def convert(folder: Path, out: Path, chunk_bytes: int, seed: int = 0) -> Iterator[Written]:
    """``folder/train/CLASS/*.jpg`` with ``val`` and ``test`` beside it, or ``folder/CLASS/*.jpg``, part by part.

    The files' own bytes, in random order: what is read chunk by chunk is then mixed already, and a chunk has images of
    all classes. Of plain class folders a fifth is the test part, as in convkit's image folder. Each part is read back
    and compared with the files.

    Raises:
        UserError: there are no such images, ``out`` is not empty, or what is read back is not what was written.
    """
    # Here, as it takes seconds: a mistake in the command should not.
    from litdata.streaming import Cache  # type: ignore[import-untyped]

    folders = ClassFolders(folder)
    if out.exists() and any(out.iterdir()):
        raise UserError(f"{out} is not empty; name a new folder")
    files, rows = folders.load()
    for part, of_part in rows.items():
        place = out / part
        order = np.random.RandomState(seed).permutation(of_part)
        writer = Cache(str(place), chunk_bytes=chunk_bytes)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "An item was larger than the target chunk size")  # then it is larger
            for index, row in enumerate(order.tolist()):
                writer[index] = {"image": _content(files, row), "label": int(files.targets[row])}
            writer.done()
            writer.merge()
        np.save(place / LABELS, files.targets[order].astype(np.int32))
        yield _read_back(part, place, files, order.tolist())
    _describe(out, {part: part for part in rows}, folders.names)


def index(root: Path, class_names: list[str] | None) -> Iterator[Written]:
    """Labels and names beside a data set that litdata has written: in ``root``, or in ``root/train`` and the like.

    Raises:
        UserError: there is none, or its samples are no images with labels.
    """
    parts = {part: name for part, names in PARTS.items() for name in names if (root / name / INDEX).is_file()}
    parts = parts or {"train": "."}
    most = 0
    for part, name in parts.items():
        chunks = Chunks(str(root / name), root, 0)
        labels = np.array([chunks.sample(place).label for place in range(len(chunks))], dtype=np.int32)
        if len(labels) and labels.min() < 0:
            raise UserError(f"{root / name}: a label is {labels.min()}; classes are counted from 0")
        most = max(most, int(labels.max(initial=-1)) + 1)
        np.save(root / name / LABELS, labels)
        yield _written(part, chunks)
    if class_names is not None and len(class_names) < most:
        raise UserError(f"{len(class_names)} classes are named, and the labels go up to {most - 1}")
    _describe(root, parts, class_names or [str(number) for number in range(most)])


def _content(files: Files, row: int) -> bytes:
    path = os.fsdecode(files.path(row))
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error


def _read_back(part: str, place: Path, files: Files, rows: list[int]) -> Written:
    chunks = Chunks(str(place), place, 0)
    if len(chunks) != len(rows):
        raise UserError(f"{place} has {len(chunks)} images of {len(rows)}; is the disk full?")
    for number, row in enumerate(rows):
        sample = chunks.sample(number)
        if sample.image != _content(files, row) or sample.label != files.targets[row]:
            raise UserError(f"{place}: image {number} is not {os.fsdecode(files.path(row))} any more; convert it again")
    return _written(part, chunks)


def _written(part: str, chunks: Chunks) -> Written:
    sizes = [chunks.path(number).stat().st_size for number in range(len(chunks.names))]
    return Written(part, len(chunks), len(sizes), sum(sizes))


def _describe(root: Path, parts: dict[str, str], class_names: list[str]) -> None:
    """Last of all: a conversion that was cut short is no data set."""
    part = root / f".{DESCRIPTION}"
    part.write_text(json.dumps({"class_names": class_names, "parts": parts}, indent=1, ensure_ascii=False) + "\n")
    os.replace(part, root / DESCRIPTION)
