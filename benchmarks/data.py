"""Images per second of the loaders: ours against torchvision's and timm's, in turn in one run.

    python benchmarks/data.py [--runs 5] [--images 2000] [--workers 2]     a folder of JPEGs of about 400×300
    python benchmarks/data.py --small [--runs 5]                           60,000 grey images of 28×28 in memory

One epoch each, in turn, after one round that is not counted (it starts the workers). Every loader yields
normalised float batches, the network's input. The last columns are medians of the ratios to a rival's epoch of the same
turn. The JPEGs are parts of photographs, enlarged, of the zip file that --photographs names (by default
../shared/data/imagenet_samples_100.zip); noise in several sizes where it is not there.
"""

import argparse
import io
import os
import statistics
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SIZE = 224
PHOTOGRAPHS = Path(__file__).parents[2] / "shared/data/imagenet_samples_100.zip"

Epoch = Callable[[int], int]  # its number to the images that it gave


def sources(path: Path, random: np.random.RandomState) -> list[Image.Image]:
    """Pictures to cut from."""
    if path.is_file():
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.lower().endswith((".jpg", ".jpeg"))]
            return [Image.open(io.BytesIO(archive.read(name))).convert("RGB") for name in names]
    pictures = []
    for _ in range(20):
        layers = [random.randint(0, 256, (side, side, 3), dtype=np.uint8) for side in (4, 16, 64, 256)]
        resized = [np.asarray(Image.fromarray(layer).resize((400, 300), Image.Resampling.BICUBIC)) for layer in layers]
        weights = np.array([0.5, 0.25, 0.15, 0.1])[:, None, None, None]
        pictures.append(Image.fromarray((np.stack(resized) * weights).sum(0).astype(np.uint8)))
    return pictures


def make_folder(root: Path, count: int, photographs: Path) -> None:
    """``count`` JPEGs, 360 to 440 by 270 to 330, quality 90, in ten class folders."""
    random = np.random.RandomState(0)
    pictures = sources(photographs, random)
    for index in range(count):
        picture = pictures[index % len(pictures)]
        width, height = random.randint(360, 441), random.randint(270, 331)
        share = random.uniform(0.8, 1)
        w, h = int(share * picture.width), int(share * picture.height)
        left, top = random.randint(0, picture.width - w + 1), random.randint(0, picture.height - h + 1)
        folder = root / f"class{index % 10}"
        folder.mkdir(parents=True, exist_ok=True)
        resized = picture.resize((width, height), Image.Resampling.BICUBIC, (left, top, left + w, top + h))
        resized.save(folder / f"{index:05d}.jpg", quality=90)


def count_images(batches: Iterable[Any]) -> int:
    return sum(len(targets) for _, targets in batches)


def ours(root: Path, workers: int, batch_size: int, **options: Any) -> Epoch:
    from convkit.datasets.image_folder import ImageFolder

    data = ImageFolder(
        str(root), batch_size=batch_size, workers=workers, size=SIZE, mean=list(MEAN), std=list(STD), **options
    )
    data.setup()
    # All images, as the others.
    data.splits["train"] = np.arange(len(data.files))
    loader = data.train_dataloader()

    def epoch(number: int) -> int:
        loader.sampler.set_epoch(number)
        return count_images(loader)

    return epoch


def torchvisions(root: Path, workers: int, batch_size: int, transform: Any) -> Epoch:
    from torch.utils.data import DataLoader
    from torchvision.datasets import ImageFolder

    loader = DataLoader(
        ImageFolder(str(root), transform), batch_size, shuffle=True, num_workers=workers, persistent_workers=workers > 0
    )
    return lambda number: count_images(loader)


def v1() -> Any:
    from torchvision import transforms

    steps = [transforms.RandomResizedCrop(SIZE), transforms.RandomHorizontalFlip(), transforms.ToTensor()]
    return transforms.Compose([*steps, transforms.Normalize(MEAN, STD)])


def v2() -> Any:
    from torchvision.transforms import v2

    steps = [v2.PILToTensor(), v2.RandomResizedCrop(SIZE), v2.RandomHorizontalFlip(), v2.ToDtype(torch.float32, True)]
    return v2.Compose([*steps, v2.Normalize(MEAN, STD)])


def timms(root: Path, workers: int, batch_size: int) -> Epoch:
    from timm.data import create_dataset, create_loader

    loader = create_loader(
        create_dataset("", str(root)),
        input_size=(3, SIZE, SIZE),
        batch_size=batch_size,
        is_training=True,
        color_jitter=None,
        interpolation="bilinear",
        mean=MEAN,
        std=STD,
        num_workers=workers,
        device=torch.device("cpu"),
        pin_memory=False,
    )
    return lambda number: count_images(loader)


def folder_loaders(root: Path, workers: int, batch_size: int) -> dict[str, Epoch]:
    cache = str(root.parent / "cache")
    return {
        "ImageFolder, PIL": torchvisions(root, workers, batch_size, v1()),
        "ImageFolder, v2": torchvisions(root, workers, batch_size, v2()),
        "timm": timms(root, workers, batch_size),
        "convkit": ours(root, workers, batch_size, cache_dir=cache),
        "convkit, cache": ours(root, workers, batch_size, cache_dir=cache, cache="2GB"),
    }


def small_loaders(batch_size: int, count: int = 60_000) -> dict[str, Epoch]:
    """Fashion-MNIST's shape: normalised, padded by 4, cropped and mirrored."""
    from torch.utils.data import DataLoader, Dataset
    from torchvision import transforms

    from convkit.datasets.augment import Augment
    from convkit.datasets.batches import Batches, Split
    from convkit.datasets.order import Order

    random = np.random.RandomState(0)
    images = torch.from_numpy(random.randint(0, 256, (count, 28, 28), dtype=np.uint8))
    targets = torch.from_numpy(random.randint(0, 10, count))
    steps = [transforms.RandomCrop(28, padding=4), transforms.RandomHorizontalFlip(), transforms.ToTensor()]
    transform = transforms.Compose([*steps, transforms.Normalize((0.286,), (0.353,))])

    class Items(Dataset[Any]):
        """As torchvision's FashionMNIST gives them."""

        def __len__(self) -> int:
            return count

        def __getitem__(self, index: int) -> Any:
            return transform(Image.fromarray(images[index].numpy())), int(targets[index])

    def usual(workers: int) -> Epoch:
        loader = DataLoader(Items(), batch_size, shuffle=True, num_workers=workers, persistent_workers=workers > 0)
        return lambda number: count_images(loader)

    order = Order(count, batch_size, seed=0, shuffle=True)
    batches = Batches(Split(images.unsqueeze(1), targets), order, (0.286,), (0.353,), Augment(pad=4, flip=True))

    def resident(number: int) -> int:
        order.set_epoch(number)
        return count_images(batches)

    return {"torchvision, 0 workers": usual(0), "torchvision, 2 workers": usual(2), "convkit": resident}


def measure(loaders: dict[str, Epoch], rivals: list[str], runs: int) -> None:
    load = os.getloadavg()[0]
    speeds: dict[str, list[float]] = {name: [] for name in loaders}
    for turn in range(runs + 1):
        for name, epoch in loaders.items():
            start = time.perf_counter()
            count = epoch(turn)
            if turn:
                speeds[name].append(count / (time.perf_counter() - start))
    columns = "".join(f"{'of ' + name:>{len(name) + 5}}" for name in rivals)
    print(f"{'loader':<24}{'images/s':>10}{'least':>9}{'most':>9}{columns}")
    for name, values in speeds.items():
        row = f"{name:<24}{statistics.median(values):>10.0f}{min(values):>9.0f}{max(values):>9.0f}"
        for rival in rivals:
            ratio = statistics.median(own / other for own, other in zip(values, speeds[rival], strict=True))
            row += f"{ratio:>{len(rival) + 5}.2f}"
        print(row)
    print(f"n = {runs}, {os.cpu_count()} cores, load {load:.1f} before and {os.getloadavg()[0]:.1f} after")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--batch_size", type=int, default=128)
    parser.add_argument("--photographs", type=Path, default=PHOTOGRAPHS)
    options = parser.parse_args()
    torch.set_num_threads(1)  # the workers have the cores
    if options.small:
        measure(small_loaders(options.batch_size), ["torchvision, 0 workers", "torchvision, 2 workers"], options.runs)
        return
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "photographs"
        make_folder(root, options.images, options.photographs)
        loaders = folder_loaders(root, options.workers, options.batch_size)
        measure(loaders, ["ImageFolder, PIL", "timm"], options.runs)


if __name__ == "__main__":
    main()
