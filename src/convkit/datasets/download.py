"""torchvision's downloads: whole or not there, by one process at a time, and the user's errors in one line."""

import contextlib
import io
import os
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock
from torchvision.datasets.utils import check_integrity

from convkit.errors import FULL, UserError

# What a network, a disk and a damaged archive make torchvision raise; urllib's errors are OSErrors.
_ERRORS = (HTTPException, OSError, RuntimeError, EOFError, tarfile.TarError, zipfile.BadZipFile, zlib.error)


class Wanted(NamedTuple):
    """What torchvision's data set class ``source`` lays out: ``places``, files or folders, unpacked from ``archives``.

    All are paths below its root; of an archive also its published MD5. ``expected`` tells the user in short what is
    looked for, ``options`` are for the constructor.
    """

    source: Any
    places: Sequence[str]
    archives: Mapping[str, str]
    expected: str
    options: Mapping[str, Any] = {}

    @property
    def name(self) -> str:
        return str(self.source.__name__)


def fetched(wanted: Wanted, root: Path, into: Path | None = None) -> None:
    """Have the places under ``root``: unpacked from the archives that are there, the others downloaded.

    torchvision works in a folder of its own, and they are moved when all of it is done; whoever comes meanwhile waits.
    With ``into`` they go there, and ``root`` is left as it is.

    Raises:
        UserError: nothing there and no network, the folder cannot be written or is full, or an archive is damaged or
            names a file outside.
    """
    target, whole = into or root, []
    lock, is_new = target / f".{wanted.name}.lock", not target.exists()
    try:
        target.mkdir(parents=True, exist_ok=True)
        with FileLock(lock):
            if all((target / place).exists() for place in wanted.places):  # by another process, meanwhile
                return
            part = target / f".{wanted.name}.part"
            shutil.rmtree(part, ignore_errors=True)  # of a process that was killed
            try:
                whole = _linked(wanted, root, part)
                with contextlib.redirect_stdout(io.StringIO()), _nothing_outside():  # its progress bar is no result
                    wanted.source(str(part), download=True, **wanted.options)
                for place in wanted.places:
                    (target / place).parent.mkdir(parents=True, exist_ok=True)
                    os.replace(part / place, target / place)
            finally:
                shutil.rmtree(part, ignore_errors=True)
    except _ERRORS as error:
        if is_new:  # and empty: a mistyped name, say
            with contextlib.suppress(OSError):
                lock.unlink()
                target.rmdir()
        raise UserError(_told(error, wanted, root, target, whole)) from error


def _linked(wanted: Wanted, root: Path, part: Path) -> list[Path]:
    """The archives that are as published, linked below ``part``. Into another one torchvision would write."""
    part.mkdir()
    whole = []
    for archive, md5 in wanted.archives.items():
        if check_integrity(str(root / archive), md5):
            whole.append(root / archive)
            (part / archive).parent.mkdir(parents=True, exist_ok=True)
            (part / archive).symlink_to((root / archive).resolve())
    return whole


def _told(error: Exception, wanted: Wanted, root: Path, target: Path, whole: list[Path]) -> str:
    lines = str(error).splitlines() or [type(error).__name__]
    reason = lines[0].rstrip(":") + (f": {lines[-1]}" if len(lines) > 1 else "")
    if isinstance(error, OSError) and error.errno in FULL:
        return f"the disk is full: {wanted.name} does not fit in {target}; set --data.root to a folder with more room"
    if whole and len(whole) == len(wanted.archives):
        return f"{wanted.name} cannot be unpacked under {target}: {reason}"
    damaged = [root / archive for archive in wanted.archives if (root / archive).is_file()]
    if damaged := [path for path in damaged if path not in whole]:
        return (
            f"{damaged[0]} is damaged: its MD5 is not the published one; and {wanted.name} could not be downloaded: "
            f"{reason}; replace it"
        )
    return (
        f"{wanted.name} is not under '{root}' ({wanted.expected}) and could not be downloaded there: {reason}; "
        "set --data.root to the folder that holds it"
    )


@contextlib.contextmanager
def _nothing_outside() -> Iterator[None]:
    """Archives unpack inside their folder alone: Python 3.14's default, which torchvision leaves to the interpreter."""
    before = tarfile.TarFile.__dict__["extraction_filter"]
    tarfile.TarFile.extraction_filter = staticmethod(tarfile.data_filter)
    try:
        yield
    finally:
        tarfile.TarFile.extraction_filter = before
