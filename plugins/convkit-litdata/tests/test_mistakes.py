"""What is damaged, missing or impossible, each in one line that names it."""

import io
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from convkit_litdata.command import main
from numbered import COUNT, data, flat, read, training

from convkit import UserError


def spoil(name: str, change: Callable[[bytes], bytes] | None) -> Callable[[Path], None]:
    def act(root: Path) -> None:
        place = next(root.glob(name))
        if change is None:
            place.unlink()
        else:
            place.write_bytes(change(place.read_bytes()))

    return act


def reversed_labels(content: bytes) -> bytes:
    np.save(out := io.BytesIO(), np.load(io.BytesIO(content))[::-1])
    return out.getvalue()


FIRST = "train/chunk-0-1.bin"
WRONG = [
    (spoil("convkit.json", None), "has no convkit.json: make it from a folder of images with convkit-litdata convert"),
    (spoil("convkit.json", lambda _: b"{"), "/convkit.json is damaged: make it from"),
    (spoil("convkit.json", lambda _: b"[]"), "/convkit.json names no parts or no classes: make it from"),
    (spoil("train/index.json", None), "train is no data set of litdata's: No such file or directory: index.json"),
    (spoil("train/index.json", lambda _: b"{"), "train/index.json is damaged, or not of litdata's; copy or convert it"),
    (spoil("train/index.json", lambda _: b"{}"), "train/index.json is damaged, or not of litdata's; copy or convert"),
    (spoil(FIRST, None), "train lacks chunk-0-1.bin; copy or convert it again"),
    (spoil(FIRST, lambda _: b""), "train/chunk-0-1.bin is empty; copy or convert it again"),
    (spoil(FIRST, lambda _: b"123456789"), "chunk-0-1.bin is not what index.json says; copy or convert it again"),
    (spoil(FIRST, lambda whole: whole[: len(whole) // 2]), "train/chunk-0-1.bin is not whole: it has "),
    (spoil(FIRST, lambda whole: whole[:-3]), "train/chunk-0-1.bin is not whole: it has "),
    (spoil("train/labels.npy", None), "train/labels.npy cannot be read: No such file or directory; convert it again"),
    (spoil("train/labels.npy", lambda _: b""), "labels.npy cannot be read: it is no array of whole numbers; convert"),
    (spoil("train/labels.npy", lambda whole: whole[:-3]), "labels.npy cannot be read: it is no array of whole numbers"),
    (spoil("train/labels.npy", reversed_labels), "and labels.npy says"),
]


@pytest.mark.parametrize("on_error", ["stop", "skip"])
@pytest.mark.parametrize(("act", "said"), WRONG)
def test_a_data_set_that_is_not_whole(
    act: Callable[[Path], None], said: str, on_error: str, chunks: Path, tmp_path: Path
) -> None:
    shutil.copytree(chunks, tmp_path / "out")
    act(tmp_path / "out")
    with pytest.raises(UserError) as raised:
        read(training(tmp_path / "out", on_error=on_error))
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_in_one_line_from_a_worker_and_from_afar_too(chunks: Path, tmp_path: Path) -> None:
    shutil.copytree(chunks, tmp_path / "out")
    spoil(FIRST, lambda whole: whole[:-3])(tmp_path / "out")
    with pytest.raises(UserError, match=r"^\S+train/chunk-0-1.bin is not whole: it has [^\n]+ again$"):
        read(training(tmp_path / "out", workers=2))
    with pytest.raises(UserError, match=r"^\S+/chunk-0-1.bin is not whole: [^\n]+; remove it to have it fetched again"):
        read(training(f"local:{tmp_path}/out", workers=2, cache_dir=str(tmp_path / "cache")))


def test_one_damaged_sample_can_be_left_out(chunks: Path, tmp_path: Path) -> None:
    shutil.copytree(chunks, tmp_path / "out")
    spoil(FIRST, lambda whole: whole.replace(b"IHDR", b"IXXX", 1))(tmp_path / "out")
    with pytest.raises(UserError, match=r"sample \d+ cannot be read: .* leave out what cannot be read"):
        read(training(tmp_path / "out"))
    found = flat(read(training(tmp_path / "out", on_error="skip")))
    assert len(found) == len(set(found)) == COUNT - 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["convert", "nowhere", "out"], "there is no folder nowhere"),
        (["convert", "{images}", "{images}"], "is not empty; name a new folder"),
        (["convert", "{images}", "out", "--chunk", "many"], "many"),
        (["index", "{images}"], "is no data set of litdata's"),
    ],
)
def test_mistakes_in_the_command(
    words: list[str], said: str, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main([word.format(images=images) for word in words]) == 2
    told = capsys.readouterr().err
    assert told.startswith("convkit-litdata: ")
    assert told.count("\n") == 1
    assert said in told


def test_options_that_cannot_be(chunks: Path) -> None:
    with pytest.raises(ValueError, match=r"^data.cache is for folders of photographs; leave it out$"):
        data(chunks, cache="1GB")
    with pytest.raises(ValueError, match=r"^data.mix is a number of chunks and cannot be 0$"):
        data(chunks, mix=0)
