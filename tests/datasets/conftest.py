"""What the tests of the downloaded data sets share."""

import os
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn
from urllib.error import URLError

import pytest


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every download fails at once."""

    def fail(*_: Any, **__: Any) -> NoReturn:
        raise URLError("no network here")

    monkeypatch.setattr(urllib.request, "urlopen", fail)


@pytest.fixture
def locked(monkeypatch: pytest.MonkeyPatch, no_network: None) -> Callable[[Path], None]:
    """Makes a folder read-only, for the superuser too, who may write everywhere and must be told otherwise."""

    def lock(folder: Path) -> None:
        folder.chmod(0o555)
        may = os.access
        monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != folder and may(path, mode))

    return lock


@pytest.fixture
def listing() -> Callable[[Path], list[tuple[str, int]]]:
    """All files below a folder, with their times: equal before and after where nothing was written."""
    return lambda folder: sorted((str(path), path.stat().st_mtime_ns) for path in folder.rglob("*"))
