"""What is downloaded or unpacked is whole or not there, whatever happens meanwhile."""

import errno
import hashlib
import io
import multiprocessing
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest

from convkit.datasets.download import Wanted, fetched
from convkit.errors import UserError

Then = Callable[[Path], None]


def nothing(_: Path) -> None:
    pass


def wanted(then: Then = nothing, archives: dict[str, str] | None = None) -> Wanted:
    """Of a data set that lays out two files, after which something happens."""

    class Source:
        def __init__(self, root: str, download: bool) -> None:
            assert download
            (Path(root) / "it").mkdir(exist_ok=True)
            (Path(root) / "it" / "one").write_text("whole")
            then(Path(root))
            (Path(root) / "it" / "two").write_text("whole")

    return Wanted(Source, ["it/one", "it/two"], archives or {}, "it/*")


def found(root: Path) -> dict[str, str]:
    return {str(path.relative_to(root)): path.read_text() for path in root.rglob("*") if path.is_file()}


WHOLE = {"it/one": "whole", "it/two": "whole", ".Source.lock": ""}


def raising(error: BaseException) -> Then:
    def then(_: Path) -> None:
        raise error

    return then


def _fetch(root: Path, count: Any) -> None:
    def slowly(_: Path) -> None:
        with count.get_lock():
            count.value += 1
        time.sleep(0.3)

    fetched(wanted(slowly), root)
    assert found(root) == WHOLE


def test_several_processes_download_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    count = context.Value("i", 0)
    processes = [context.Process(target=_fetch, args=(tmp_path / "root", count)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 3
    assert count.value == 1


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            URLError("no network"),
            "Source is not under '{}' (it/*) and could not be downloaded there: <urlopen error ",
        ),
        (RuntimeError("Error downloading it:\nTried one\nno"), "there: Error downloading it: no; set --data.root to "),
        (
            OSError(errno.ENOSPC, "No space left on device"),
            "the disk is full: Source does not fit in {}; set --data.root to a folder with more room",
        ),
        (EOFError("Compressed file ended"), "could not be downloaded there: Compressed file ended; "),
        (KeyboardInterrupt(), None),
    ],
)
@pytest.mark.parametrize("is_there", [True, False])
def test_nothing_half_made_is_left(error: BaseException, said: str | None, is_there: bool, tmp_path: Path) -> None:
    root = tmp_path / "root"
    if is_there:
        root.mkdir()
    with pytest.raises(UserError if said else type(error)) as raised:
        fetched(wanted(raising(error)), root)
    assert said is None or said.format(root) in str(raised.value)
    assert "\n" not in str(raised.value)
    if is_there or not said:
        assert [path.name for path in root.iterdir()] == [".Source.lock"]
    else:
        assert not root.exists()
    fetched(wanted(), root)
    assert found(root) == WHOLE


def test_what_a_killed_process_left_is_swept_away(tmp_path: Path) -> None:
    (tmp_path / ".Source.part" / "it").mkdir(parents=True)
    (tmp_path / ".Source.part" / "it" / "two").write_text("half")
    fetched(wanted(), tmp_path)
    assert found(tmp_path) == WHOLE


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"could not be downloaded there: .*(File exists|Not a directory)"):
        fetched(wanted(), tmp_path / "file")


def archive(path: Path, name: str) -> str:
    """A tar file with one member; its MD5."""
    with tarfile.open(path, "w") as file:
        member = tarfile.TarInfo(name)
        member.size = 4
        file.addfile(member, io.BytesIO(b"evil"))
    return md5(path)


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def unpacking(root: Path) -> None:
    with tarfile.open(root / "it.tar") as file:
        file.extractall(root)  # as torchvision before 0.26: with whatever filter is the interpreter's


@pytest.mark.parametrize("name", ["../evil", "it/../../evil"])
def test_names_in_an_archive_never_leave_its_folder(name: str, tmp_path: Path) -> None:
    before = tarfile.TarFile.__dict__["extraction_filter"]
    archives = {"it.tar": archive(tmp_path / "it.tar", name)}
    with pytest.raises(UserError) as raised:
        fetched(wanted(unpacking, archives), tmp_path)
    assert str(raised.value).startswith(f"Source cannot be unpacked under {tmp_path}: ")
    assert "\n" not in str(raised.value)
    assert not list(tmp_path.rglob("evil"))
    assert tarfile.TarFile.__dict__["extraction_filter"] is before


def test_an_archive_that_is_none_though_its_checksum_is_right(tmp_path: Path) -> None:
    (tmp_path / "it.tar").write_bytes(b"<html>")
    with pytest.raises(UserError) as raised:
        fetched(wanted(unpacking, {"it.tar": md5(tmp_path / "it.tar")}), tmp_path)
    assert str(raised.value).startswith(f"Source cannot be unpacked under {tmp_path}: ")
    assert "\n" not in str(raised.value)
    assert found(tmp_path) == {"it.tar": "<html>", ".Source.lock": ""}


def test_a_damaged_archive_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "it.tar").write_bytes(b"half")

    def download(root: Path) -> None:
        (root / "it.tar").write_bytes(b"new")  # torchvision would, into whatever lies there
        raise URLError("no network")

    with pytest.raises(UserError) as raised:
        fetched(wanted(download, {"it.tar": hashlib.md5(b"new").hexdigest()}), tmp_path)
    assert str(raised.value) == (
        f"{tmp_path / 'it.tar'} is damaged: its MD5 is not the published one; and Source could not be downloaded: "
        "<urlopen error no network>; replace it"
    )
    assert (tmp_path / "it.tar").read_bytes() == b"half"
