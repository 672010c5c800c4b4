"""What a user got wrong, in one line that names the culprit and the way out."""

import errno
from collections.abc import Iterable
from difflib import get_close_matches

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # what an OSError says where a disk is full


class UserError(Exception):
    """A mistake of the user's: the command line prints its message, without a traceback, and exits with 2."""


def did_you_mean(name: str, choices: Iterable[str]) -> str:
    """``"; did you mean X?"`` for the nearest choice, else ``"; choose from A, B, C"``; empty without choices."""
    known = sorted(set(choices))
    near = get_close_matches(name, known, n=1, cutoff=0.6)
    if near:
        return f"; did you mean {near[0]}?"
    return f"; choose from {', '.join(known)}" if known else ""
