"""No tracker, picture or table is worth a fit: what fails on the way there is a warning."""

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

from lightning.pytorch.loggers import Logger

CALLS = ("log_metrics", "log_hyperparams", "log_graph", "save", "finalize", "after_save_checkpoint")
PATIENCE = 10.0  # seconds that a logger may waste on calls that fail


def one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


@contextmanager
def spared(what: str, *of: type[Exception]) -> Iterator[None]:
    """An error inside, of these kinds or of any, is a warning that names ``what``, and the fit goes on."""
    kinds = of or (Exception,)
    try:
        yield
    except kinds as error:
        warnings.warn(f"{what}: {one_line(error)}; the fit goes on", stacklevel=3)


_WASTED: WeakKeyDictionary[Logger, float] = WeakKeyDictionary()  # seconds, on what was to be shown


@contextmanager
def shown_to(logger: Logger, what: str) -> Iterator[None]:
    """As :func:`spared`. About a table W&B asks an online server, and waits for an answer even of a dead one: once that
    has cost too long, :func:`has_patience` says no."""
    start = time.monotonic()
    try:
        yield
    except Exception as error:
        _WASTED[logger] = _WASTED.get(logger, 0.0) + time.monotonic() - start
        rest = "" if has_patience(logger) else ", nor is what follows"
        warnings.warn(
            f"{what} is not in {type(logger).__name__}{rest}: {one_line(error)}; the fit goes on", stacklevel=3
        )


def has_patience(logger: Logger) -> bool:
    """Whether it is still worth while to show this logger something."""
    return _WASTED.get(logger, 0.0) <= PATIENCE


class Spared:
    """A method of a logger that never raises, and that is not called any more once its errors have cost too long.

    Of errors with one text Python shows the first. A full disk may get room again, so the next call is made.
    """

    def __init__(self, logger: Logger, name: str) -> None:
        self.logger, self.name = logger, name
        self._wasted = 0.0

    def __call__(self, *arguments: Any, **options: Any) -> None:
        if self._wasted > PATIENCE:
            return
        start = time.monotonic()
        try:
            getattr(type(self.logger), self.name)(self.logger, *arguments, **options)
        except Exception as error:
            self._wasted += time.monotonic() - start
            off = " and is off from here on" if self._wasted > PATIENCE else ""
            warnings.warn(f"{type(self.logger).__name__}.{self.name} failed{off}: {one_line(error)}", stacklevel=2)


def spare(logger: Logger) -> Logger:
    """The logger itself, each call that a fit makes of it :class:`Spared`."""
    for name in CALLS:
        if not isinstance(getattr(logger, name), Spared):
            setattr(logger, name, Spared(logger, name))
    return logger
