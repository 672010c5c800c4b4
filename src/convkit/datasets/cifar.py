"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009): 50,000 + 10,000 colour images of 32×32."""

import os
import tempfile
from pathlib import Path
from typing import Any, ClassVar

import torch
from torchvision import datasets
from torchvision.datasets.utils import check_integrity

from convkit.datasets.download import fetched
from convkit.datasets.in_memory import InMemoryData, Split
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

    def prepare_data(self) -> None:
        root = Path(self.root).expanduser()
        if not (root / self.source.base_folder).is_dir() and not self._locked_archive(root):
            fetched(self.source, self.root, f"{self.source.base_folder}/ or {self.source.filename}")

    def load(self) -> tuple[Split, Split]:
        root = Path(self.root).expanduser()
        if self._locked_archive(root):
            # Unpack beside nobody's files. A damaged one torchvision would download, through the link.
            if not check_integrity(str(root / self.source.filename), self.source.tgz_md5):
                raise UserError(
                    f"{root / self.source.filename} is damaged: its MD5 is not the published one; replace it"
                )
            with tempfile.TemporaryDirectory() as folder:
                (Path(folder) / self.source.filename).symlink_to((root / self.source.filename).resolve())
                fetched(self.source, folder, self.source.filename)
                return self._read(folder)
        return self._read(str(root))

    def _locked_archive(self, root: Path) -> bool:
        """Whether the archive lies, still packed, in a folder that cannot be written."""
        packed = (root / self.source.filename).is_file() and not (root / self.source.base_folder).is_dir()
        return packed and not os.access(root, os.W_OK)

    def _read(self, folder: str) -> tuple[Split, Split]:
        try:
            parts = [self.source(folder, train=train) for train in (True, False)]
        except Exception as error:  # the files are pickles: a damaged one raises anything
            reason = " ".join(str(error).split())
            raise UserError(
                f"{self.source.__name__} under {self.root!r} cannot be read: {reason}; "
                "delete it to have it downloaded again"
            ) from error
        train, test = (
            Split(torch.from_numpy(part.data).permute(0, 3, 1, 2).contiguous(), torch.tensor(part.targets))
            for part in parts
        )
        return train, test


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
