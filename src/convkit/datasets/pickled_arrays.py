"""Arrays in a pickle, read into memory of one's own: nothing that the file names is run, nothing is held twice."""

import io
import pickle
from collections.abc import Callable
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

_LARGE = 2**20  # bytes


class _Place(NamedTuple):
    """Where in the file so many bytes are."""

    start: int
    size: int


class PickledArray:
    """Stands for a numpy array, or its type, in a pickle; knows its bytes or where they are."""

    contents: bytes | _Place = b""

    def __init__(self, *_: Any) -> None:
        pass

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if isinstance(state[-1], bytes | _Place):
            self.contents = state[-1]

    def read_into(self, memory: NDArray[np.uint8], file: BinaryIO) -> None:
        """The bytes, from the ``file`` that was unpickled.

        Raises:
            ValueError: they are not as many as there is memory for.
        """
        flat = memory.reshape(-1).data
        size = self.contents.size if isinstance(self.contents, _Place) else len(self.contents)
        if size != len(flat):
            raise ValueError(f"it has {size:,} bytes of images, wanted {len(flat):,}")
        if isinstance(self.contents, _Place):
            file.seek(self.contents.start)
            file.readinto(flat)  # type: ignore[attr-defined]
        else:
            flat[:] = self.contents


class ArrayReader(pickle._Unpickler):
    """Reads lists, texts, numbers and arrays.

    A large text stays in the file: the images of CIFAR-100 are one of 150 MB, which the unpickler in C holds twice.

    Raises:
        UnpicklingError: the file names anything else.
    """

    read: Callable[[int], bytes]
    append: Callable[[Any], None]

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file, encoding="bytes")
        self._file = file

    def find_class(self, module: str, name: str) -> Any:
        if module.startswith("numpy") and name in ("_reconstruct", "ndarray", "dtype"):
            return PickledArray
        raise pickle.UnpicklingError(f"it names {module}.{name}")

    def _load_text(self) -> None:
        size = int.from_bytes(self.read(4), "little")
        if size < _LARGE:
            self.append(self.read(size))
        else:
            self.append(_Place(self._file.tell(), size))
            self._file.seek(size, io.SEEK_CUR)

    # Python 2's strings, which the published files have, and Python 3's bytes
    dispatch = pickle._Unpickler.dispatch | {pickle.BINSTRING[0]: _load_text, pickle.BINBYTES[0]: _load_text}  # type: ignore[assignment]
