"""Your own images from one ``.npz`` file of numpy arrays."""

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from convkit.datasets.batches import Split
from convkit.datasets.in_memory import InMemoryData
from convkit.errors import UserError

_KEYS = ("x_train", "y_train", "x_test", "y_test")
_TURNED = 1024  # images at once
_DAMAGE = (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error)  # what a bad .npz makes numpy raise


class Arrays(InMemoryData):
    """``x_train``, ``x_test``: N×H×W or N×H×W×C uint8; ``y_train``, ``y_test``: N class indices; ``class_names``.

    ``class_names`` may be left out: the classes are then named by their index. Written with
    ``np.savez("mine.npz", x_train=..., y_train=..., x_test=..., y_test=..., class_names=["ant", "bee"])``.

    Args:
        path: the file.
        mean: per channel, of values from 0 to 1; measured on the training images where it is not given.
        std: standard deviation per channel, likewise.
    """

    def __init__(
        self, path: str, mean: list[float] | None = None, std: list[float] | None = None, **options: Any
    ) -> None:
        super().__init__(**options)
        self.path = Path(path).expanduser()
        # The headers alone: the network needs the shapes long before it needs the images.
        headers = self._headers()
        shapes = {key: shape for key, (shape, _) in headers.items()}
        for key, kind, wanted in (("x", np.uint8, "uint8 from 0 to 255"), ("y", np.integer, "class indices")):
            for name in (f"{key}_train", f"{key}_test"):
                if not np.issubdtype(headers[name][1], kind):
                    raise UserError(f"{path}: {name} holds {headers[name][1]}, wanted {wanted}")
        x_shape = shapes["x_train"]
        if len(x_shape) not in (3, 4):
            raise UserError(f"{path}: x_train is N×H×W or N×H×W×C, not {'×'.join(map(str, x_shape))}")
        for key in ("x_train", "x_test"):
            if shapes[key] and not shapes[key][0]:
                raise UserError(f"{path}: {key} holds no images")
        self.image_shape = (x_shape[3] if len(x_shape) == 4 else 1, x_shape[1], x_shape[2])
        if shapes["x_test"][1:] != x_shape[1:]:
            raise UserError(f"{path}: x_test has images of {shapes['x_test'][1:]}, x_train of {x_shape[1:]}")
        if "class_names" in shapes:
            names = self._array("class_names").reshape(-1)
            self.class_names = [name.decode() if isinstance(name, bytes) else str(name) for name in names.tolist()]
        else:
            self.class_names = [str(index) for index in range(int(self._array("y_train").max(initial=-1)) + 1)]
        self.num_classes = len(self.class_names)
        for name, given in (("mean", mean), ("std", std)):
            if given is None:
                continue
            if len(given) != self.image_shape[0]:
                raise UserError(f"data.{name} has {len(given)} values for images of {self.image_shape[0]} channels")
            if name == "std" and min(given) <= 0:
                raise UserError(f"data.std divides the values and must be above 0, not {given}")
            setattr(self, name, tuple(given))

    def load(self) -> tuple[Split, Split]:
        train, test = (self._split(part) for part in ("train", "test"))
        return train, test

    def _split(self, part: str) -> Split:
        images, targets = self._array(f"x_{part}"), self._array(f"y_{part}").reshape(-1)
        if len(images) != len(targets):
            raise UserError(f"{self.path}: {len(images)} images in x_{part}, {len(targets)} labels in y_{part}")
        if len(targets) and not 0 <= targets.min() <= targets.max() < self.num_classes:
            raise UserError(
                f"{self.path}: the labels in y_{part} go from {targets.min()} to {targets.max()}, "
                f"the classes from 0 to {self.num_classes - 1}"
            )
        return Split(torch.from_numpy(_channels_first(images)), torch.from_numpy(targets.astype(np.int64)))

    def _headers(self) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
        """Shape and type of every array in the file."""
        headers = {}
        try:
            with zipfile.ZipFile(self.path) as archive:
                for member in archive.namelist():
                    with archive.open(member) as file:
                        version = np.lib.format.read_magic(file)
                        read = (
                            np.lib.format.read_array_header_1_0
                            if version == (1, 0)
                            else np.lib.format.read_array_header_2_0
                        )
                        shape, _, dtype = read(file)
                        headers[member.removesuffix(".npy")] = (shape, dtype)
        except FileNotFoundError:
            raise UserError(f"there is no file {self.path}; set --data.path to your .npz") from None
        except _DAMAGE as error:
            raise UserError(f"{self.path} is not a readable .npz file: {error}") from error
        if missing := [key for key in _KEYS if key not in headers]:
            raise UserError(f"{self.path} lacks {', '.join(missing)}; it has {', '.join(headers)}")
        return headers

    def _array(self, key: str) -> NDArray[np.generic]:
        try:
            with np.load(self.path, allow_pickle=False) as arrays:
                value: NDArray[np.generic] = arrays[key]
                return value
        except _DAMAGE as error:
            raise UserError(f"{self.path}: {key} cannot be read: {error}") from error


def _channels_first(images: NDArray[np.generic]) -> NDArray[np.generic]:
    """N×H×W or N×H×W×C images as N×C×H×W, turned in the memory that they are in."""
    images = np.ascontiguousarray(images)
    if images.ndim == 3:
        return images[:, None]
    count, height, width, channels = images.shape
    turned = images.reshape(count, channels, height, width)
    for start in range(0, count, _TURNED):
        part = images[start : start + _TURNED].copy()
        turned[start : start + _TURNED] = part.transpose(0, 3, 1, 2)
    return turned
