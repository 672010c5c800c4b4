"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009): 50,000 + 10,000 colour images of 32×32."""

import os
import tempfile
from pathlib import Path
from typing import Any, ClassVar

import torch
from torchvision import datasets
from torchvision.datasets.utils import check_integrity

from convkit.datasets.batches import Split
from convkit.datasets.download import Wanted, fetched
from convkit.datasets.in_memory import InMemoryData
from convkit.datasets.pickled_arrays import ArrayReader
from convkit.errors import UserError


class Cifar10(InMemoryData):
    """Ten classes of 32×32 colour photographs.

    Args:
        root: folder that holds ``cifar-10-batches-py`` or ``cifar-10-python.tar.gz``; downloaded where absent.
    """

    source: ClassVar[Any] = datasets.CIFAR10
    num_classes = 10
    image_shape = (3, 32, 32)
    class_names: list[str] = [
        "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"
    ]  # fmt: skip
    mean = (0.4914, 0.4822, 0.4465)
    std = (0.2470, 0.2435, 0.2616)

    def __init__(self, root: str = "data", **options: Any) -> None:
        super().__init__(**options)
        self.root = root

    @property
    def wanted(self) -> Wanted:
        source = self.source
        expected = f"{source.base_folder}/ or {source.filename}"
        # Of the two parts, its constructor also reads one: the smaller.
        return Wanted(source, [source.base_folder], {source.filename: source.tgz_md5}, expected, {"train": False})

    def prepare_data(self) -> None:
        root = Path(self.root).expanduser()
        if not (root / self.source.base_folder).is_dir() and not self._locked_archive(root):
            fetched(self.wanted, root)

    def load(self) -> tuple[Split, Split]:
        root = Path(self.root).expanduser()
        if self._locked_archive(root):  # unpack beside nobody's files
            if not check_integrity(str(root / self.source.filename), self.source.tgz_md5):
                raise UserError(
                    f"{root / self.source.filename} is damaged: its MD5 is not the published one; replace it"
                )
            with tempfile.TemporaryDirectory() as folder:
                fetched(self.wanted, root, Path(folder))
                return self._read(folder)
        return self._read(str(root))

    def _locked_archive(self, root: Path) -> bool:
        """Whether the archive lies, still packed, in a folder that cannot be written."""
        packed = (root / self.source.filename).is_file() and not (root / self.source.base_folder).is_dir()
        return packed and not os.access(root, os.W_OK)

    def _read(self, folder: str) -> tuple[Split, Split]:
        try:
            test, train = (self._part(Path(folder), part) for part in (self.source.test_list, self.source.train_list))
        except Exception as error:  # the files are pickles: a damaged one raises anything
            reason = " ".join(str(error).split())
            raise UserError(
                f"{self.source.__name__} under {self.root!r} cannot be read: {reason}; "
                "delete it to have it downloaded again"
            ) from error
        return train, test

    def _part(self, folder: Path, files: list[list[str]]) -> Split:
        """The images of some files, each read into the memory that it stays in."""
        paths = [folder / self.source.base_folder / name for name, _ in files]
        for path, (_, md5) in zip(paths, files, strict=True):
            if not check_integrity(str(path), md5):
                raise ValueError(f"{path.name} is missing or is not the published one")
        images, targets, rows = torch.empty(0), [], 0
        for path in paths:
            with path.open("rb") as file:
                entry = {_text(key): value for key, value in ArrayReader(file).load().items()}
                labels = entry["fine_labels" if "fine_labels" in entry else "labels"]
                if not rows:  # all files hold equally many
                    images = torch.empty(len(labels) * len(paths), *self.image_shape, dtype=torch.uint8)
                entry["data"].read_into(images.numpy()[rows : rows + len(labels)], file)
            rows += len(labels)
            targets += labels
        return Split(images, torch.tensor(targets))


def _text(key: bytes | str) -> str:
    return key.decode() if isinstance(key, bytes) else key


class Cifar100(Cifar10):
    """A hundred classes of 32×32 colour photographs.

    Args:
        root: folder that holds ``cifar-100-python`` or ``cifar-100-python.tar.gz``; downloaded where absent.
    """

    source = datasets.CIFAR100
    num_classes = 100
    class_names: list[str] = [
        "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle", "bowl", "boy",
        "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle", "chair", "chimpanzee", "clock",
        "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur", "dolphin", "elephant", "flatfish",
        "forest", "fox", "girl", "hamster", "house", "kangaroo", "keyboard", "lamp", "lawn_mower", "leopard", "lion",
        "lizard", "lobster", "man", "maple_tree", "motorcycle", "mountain", "mouse", "mushroom", "oak_tree", "orange",
        "orchid", "otter", "palm_tree", "pear", "pickup_truck", "pine_tree", "plain", "plate", "poppy", "porcupine",
        "possum", "rabbit", "raccoon", "ray", "road", "rocket", "rose", "sea", "seal", "shark", "shrew", "skunk",
        "skyscraper", "snail", "snake", "spider", "squirrel", "streetcar", "sunflower", "sweet_pepper", "table", "tank",
        "telephone", "television", "tiger", "tractor", "train", "trout", "tulip", "turtle", "wardrobe", "whale",
        "willow_tree", "wolf", "woman", "worm",
    ]  # fmt: skip
    mean = (0.5071, 0.4865, 0.4409)
    std = (0.2673, 0.2564, 0.2762)
