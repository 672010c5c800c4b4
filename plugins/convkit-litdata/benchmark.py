"""Images per second from chunks, beside the same images as files in folders.

    python benchmark.py FOLDER [--size PIXELS] [--workers N] [--rounds N]

FOLDER is one of images, as `convkit-litdata convert` takes it. Both go through the same decoding and cropping; in each
round both read every training image once, in turn, after one round that is not counted. What a disk or a network adds
is not measured where the images are in the machine's memory already: this is the cost of the format itself.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from convkit_litdata.convert import convert
from convkit_litdata.dataset import LitData

from convkit.datasets.image_folder import ImageFolder
from convkit.datasets.photographs import Photographs

KNOWN: dict[str, Any] = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=128)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        began = time.perf_counter()
        parts = list(convert(given.folder, Path(place) / "chunks", 64_000_000))
        seconds = time.perf_counter() - began
        count = sum(part.images for part in parts)
        print(f"converted and read back {count:,} images of {parts[0].bytes / 1e6:.0f} MB (train) in {seconds:.1f} s")
        options = {"size": given.size, "workers": given.workers, "batch_size": given.batch_size, **KNOWN}
        sources: dict[str, Photographs] = {
            "image_folder": ImageFolder(str(given.folder), **options),
            "litdata": LitData(f"{place}/chunks", **options),
        }
        loaders = {}
        for name, data in sources.items():
            data.setup()
            loaders[name] = data.train_dataloader()
        speeds: dict[str, list[float]] = {name: [] for name in sources}
        for epoch in range(given.rounds + 1):
            for name, loader in loaders.items():
                loader.sampler.set_epoch(epoch)
                began = time.perf_counter()
                images = sum(len(targets) for _, targets in loader)
                speeds[name].append(images / (time.perf_counter() - began))
        for data in sources.values():
            data.teardown()
    for name, found in speeds.items():
        print(f"{name}: {told(found[1:])} images/s")
    ratios = [b / a for a, b in zip(*(found[1:] for found in speeds.values()), strict=True)]
    print(
        f"litdata / image_folder: {told(ratios, 3)}, n = {given.rounds}, {given.workers} workers, {given.size} pixels"
    )


def told(values: list[float], digits: int = 0) -> str:
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.median(values):.{digits}f} (median; deviation {spread:.{digits}f})"


if __name__ == "__main__":
    main()
