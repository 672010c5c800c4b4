"""The cache gives the images that decoding gives; it is whole or not there."""

import errno
import multiprocessing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from convkit.datasets import decoded_cache
from convkit.datasets.decoded_cache import DecodedCache, cache_key, open_cache, parse_size
from convkit.datasets.image_folder import ImageFolder
from convkit.errors import FULL, UserError

KNOWN: dict[str, Any] = {"mean": [0.5] * 3, "std": [0.2] * 3}


def images(count: int = 6) -> Iterator[tuple[int, Tensor]]:
    for row in range(count):
        random = np.random.RandomState(row)
        yield row, torch.from_numpy(random.randint(0, 256, (3, 4 + row, 5), dtype=np.uint8))


def batches(root: Path, **options: Any) -> list[tuple[Tensor, Tensor]]:
    data = ImageFolder(str(root), **{"size": 16, "batch_size": 8, "workers": 0, **KNOWN, **options})
    data.prepare_data()
    data.setup()
    return [*data.train_dataloader(), *data.val_dataloader()]


def same(some: list[tuple[Tensor, Tensor]], others: list[tuple[Tensor, Tensor]]) -> bool:
    return all(torch.equal(a, b) and torch.equal(s, t) for (a, s), (b, t) in zip(some, others, strict=True))


def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    cache = open_cache(tmp_path / "new" / "it", 4, 6, 10**6, images)
    assert len(cache) == 6
    for row, pixels in images():
        picture = cache.picture(row)
        assert picture is not None
        assert (picture.height, picture.width) == pixels.shape[1:]
        assert torch.equal(picture.pixels()[0], pixels)


def test_it_is_made_once_and_again_for_a_higher_limit_only(tmp_path: Path) -> None:
    sizes = [pixels.numel() for _, pixels in images()]
    limit = sum(sizes[:4]) + 1

    def opened(limit: int, wanted: bool) -> int:
        made = []

        def watched() -> Iterator[tuple[int, Tensor]]:
            made.append(True)
            return images()

        cache = open_cache(tmp_path / "it", 4, 6, limit, watched)
        assert bool(made) == wanted
        assert [cache.picture(row) is not None for row in range(6)] == [row < len(cache) for row in range(6)]
        return len(cache)

    assert opened(limit, wanted=True) == 4
    assert opened(limit, wanted=False) == 4
    assert opened(limit - sizes[3], wanted=False) == 4
    assert opened(10**6, wanted=True) == 6
    assert opened(10**9, wanted=False) == 6
    assert sorted(path.name for path in tmp_path.iterdir()) == ["it", "it.lock"]


def test_the_images_do_not_depend_on_how_many_are_cached(tree: Callable[..., Path], tmp_path: Path) -> None:
    root = tree("train/cat", "train/dog", "val/cat", count=10)
    caches = {"cache_dir": str(tmp_path / "caches")}
    whole = batches(root, cache="1MB", **caches)
    (place,) = (tmp_path / "caches").glob("images-*[!k]")
    assert len(DecodedCache(place, 18)) == 30
    assert same(batches(root, cache="1MB", workers=2, **caches), whole)
    few = {"cache_dir": str(tmp_path / "few"), "cache": "12KB"}
    assert same(batches(root, **few), whole)
    (place,) = (tmp_path / "few").glob("images-*[!k]")
    assert 1 < len(DecodedCache(place, 18)) < 30
    # Decoded anew, training crops are cut from the photograph instead of the smaller cached image.
    plain = batches(root)
    assert same(plain[3:], whole[3:])
    assert (plain[0][0] - whole[0][0]).abs().mean() < 0.25


def test_another_file_is_another_cache(tree: Callable[..., Path], tmp_path: Path) -> None:
    root = tree("train/cat", "train/dog", "val/cat")
    before = batches(root, cache="1MB")
    (root / "train/cat/000.jpg").write_bytes((root / "train/dog/000.jpg").read_bytes())
    assert not same(batches(root, cache="1MB"), before)
    assert cache_key(b"some files", 256) != cache_key(b"some files", 224) != cache_key(b"others", 224)


@pytest.mark.parametrize("on_error", ["stop", "skip"])
def test_files_that_cannot_be_read(on_error: Any, tree: Callable[..., Path], tmp_path: Path) -> None:
    root = tree("train/cat", "train/dog", "val/cat")
    broken = root / "train/dog/000.jpg"
    broken.write_bytes(b"none")
    options = {"cache": "1MB", "cache_dir": str(tmp_path / "caches")}
    if on_error == "skip":
        assert sum(len(targets) for _, targets in batches(root, on_error=on_error, **options)) == 11
    with pytest.raises(UserError, match=f"{broken} cannot be read: it is not an image"):
        batches(root, **options)
    left = {path.name for path in (tmp_path / "caches").iterdir() if not path.name.endswith(".lock")}
    assert len(left) == (on_error == "skip")


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(part: Path, *_: Any) -> bool:
        (part / "pixels.u8").write_bytes(b"some")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(decoded_cache, "_write", full)
    with pytest.raises(UserError) as raised:
        open_cache(tmp_path / "it", 4, 6, 10**6, images)
    assert str(raised.value) == (
        f"the disk is full: the cache of decoded images does not fit in {tmp_path}; give a smaller --data.cache or "
        "another --data.cache_dir"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["it.lock"]


def test_a_device_that_is_full() -> None:
    """The file system's own answer."""
    with pytest.raises(OSError, match="No space left") as raised, open("/dev/full", "wb", buffering=0) as file:
        file.write(next(images())[1].numpy().data)
    assert raised.value.errno in FULL


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=f"no cache of images can be made in {tmp_path / 'file'}: Not a directory"):
        open_cache(tmp_path / "file" / "it", 4, 6, 10**6, images)


def test_what_a_killed_process_left_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "it.part").mkdir()
    (tmp_path / "it.part" / "pixels.u8").write_bytes(b"half")
    assert len(open_cache(tmp_path / "it", 4, 6, 10**6, images)) == 6
    assert not (tmp_path / "it.part").exists()


def _open(place: Path, made: Any) -> None:
    def slowly() -> Iterator[tuple[int, Tensor]]:
        with made.get_lock():
            made.value += 1
        for image in images():
            torch.rand(1)
            yield image

    assert len(open_cache(place, 4, 6, 10**6, slowly)) == 6


def test_two_processes_make_one(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    made = context.Value("i", 0)
    processes = [context.Process(target=_open, args=(tmp_path / "it", made)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 4
    assert made.value == 1


@pytest.mark.parametrize(
    ("text", "size"),
    [("20GB", 20 * 10**9), ("1.5 TB", 15 * 10**11), ("512MiB", 2**29), ("7k", 7000), ("12", 12), ("3gib", 3 * 2**30)],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["much", "", "GB", "-1GB", "0GB", "1.2.3GB", "5PB"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(ValueError, match=r"data\.cache is a size such as 20GB, not"):
        parse_size(text)
