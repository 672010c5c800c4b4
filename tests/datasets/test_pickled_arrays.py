"""Arrays in pickles, against Python's own unpickler."""

import io
import pickle
from pathlib import Path

import numpy as np
import pytest

from convkit.datasets.pickled_arrays import ArrayReader


def python2(contents: dict[str, object], size: int) -> bytes:
    """With an array's bytes as Python 2 wrote them, a string of ``size``, as in the published files of CIFAR."""
    length = size.to_bytes(4, "little")
    pickled = pickle.dumps(contents, protocol=3)
    assert pickled.count(b"B" + length) == 1
    return pickled.replace(b"B" + length, b"T" + length)


@pytest.mark.parametrize("count", [3, 2**11])  # 3 kB are read at once, 2 MB stay where they are
@pytest.mark.parametrize("writer", ["python2", 3, 4])
def test_against_pickle(writer: str | int, count: int) -> None:
    pixels = np.random.RandomState(0).randint(0, 256, (count, 1024), dtype=np.uint8)
    contents = {"first": [1, 2], "data": pixels, "labels": list(range(count)), "names": ["a.png", "b.png"]}
    size = pixels.nbytes
    content = python2(contents, size) if writer == "python2" else pickle.dumps(contents, protocol=int(writer))
    expected = pickle.loads(content, encoding="latin1")
    file = io.BytesIO(content)
    found = ArrayReader(file).load()
    memory = np.empty_like(pixels)
    found["data"].read_into(memory, file)
    assert np.array_equal(memory, expected["data"])
    assert {**found, "data": 0} == {**expected, "data": 0}
    with pytest.raises(ValueError, match=f"it has {size:,} bytes of images, wanted {size - 1024:,}"):
        found["data"].read_into(np.empty((count - 1, 1024), np.uint8), file)


class Harm:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_nothing_is_run(protocol: int, tmp_path: Path) -> None:
    content = pickle.dumps({"data": Harm(tmp_path / "harm")}, protocol=protocol)
    with pytest.raises(pickle.UnpicklingError, match="it names "):
        ArrayReader(io.BytesIO(content)).load()
    assert not (tmp_path / "harm").exists()


def test_a_file_that_ends_too_soon() -> None:
    content = python2({"data": np.zeros(2**21, np.uint8)}, 2**21)
    with pytest.raises(EOFError):
        ArrayReader(io.BytesIO(content[: 2**20])).load()
