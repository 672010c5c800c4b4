"""torchvision's downloads, with the user's errors in one line."""

import contextlib
import io
from http.client import HTTPException
from pathlib import Path
from typing import Any

from convkit.errors import UserError


def fetched(source: Any, root: str, expected: str) -> None:
    """Have torchvision's data set class ``source`` download to ``root`` what is not there, and unpack what is.

    Raises:
        UserError: nothing there and no network, or ``root`` cannot be written; names ``root`` and what was expected.
    """
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # its progress bar is no result
            source(str(Path(root).expanduser()), download=True)
    except (HTTPException, OSError, RuntimeError) as error:  # urllib's are OSErrors
        reason = str(error).splitlines()[0].rstrip(":") if str(error) else type(error).__name__
        raise UserError(
            f"{source.__name__} is not under {root!r} ({expected}) and could not be downloaded there: {reason}; "
            "set --data.root to the folder that holds it"
        ) from error
