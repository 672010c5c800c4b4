"""torchvision's downloads, with the user's errors in one line."""

import contextlib
import io
import tarfile
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from typing import Any

from convkit.errors import UserError


def fetched(source: Any, root: str, expected: str) -> None:
    """Have torchvision's data set class ``source`` download to ``root`` what is not there, and unpack what is.

    Raises:
        UserError: nothing there and no network, ``root`` cannot be written, or an archive is damaged or names a file
            outside ``root``; names ``root`` and what was expected.
    """
    try:
        with contextlib.redirect_stdout(io.StringIO()), _nothing_outside():  # its progress bar is no result
            source(str(Path(root).expanduser()), download=True)
    except (HTTPException, OSError, RuntimeError, tarfile.TarError) as error:  # urllib's are OSErrors
        reason = str(error).splitlines()[0].rstrip(":") if str(error) else type(error).__name__
        raise UserError(
            f"{source.__name__} is not under {root!r} ({expected}) and could not be downloaded there: {reason}; "
            "set --data.root to the folder that holds it"
        ) from error


@contextlib.contextmanager
def _nothing_outside() -> Iterator[None]:
    """Archives unpack inside their folder alone: Python 3.14's default, which torchvision leaves to the interpreter."""
    before = tarfile.TarFile.__dict__["extraction_filter"]
    tarfile.TarFile.extraction_filter = staticmethod(tarfile.data_filter)
    try:
        yield
    finally:
        tarfile.TarFile.extraction_filter = before
