"""What the tests of the downloaded data sets share."""

import os
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn
from urllib.error import URLError

import numpy as np
import pytest
from PIL import Image


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


Tree = Callable[..., Path]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Makes a folder of photographs: ``tree("train/cat", "train/dog", count=3)``; sizes, colours and suffixes vary."""

    def make(*folders: str, count: int = 4, root: str = "root", side: int = 40) -> Path:
        for number, folder in enumerate(folders):
            place = tmp_path / root / folder
            place.mkdir(parents=True, exist_ok=True)
            for index in range(count):
                random = np.random.RandomState(1000 * number + index)
                width, height = random.randint(side, 2 * side, size=2)
                noise = Image.fromarray(random.randint(0, 256, (5, 5, 3), dtype=np.uint8))
                picture = noise.resize((width, height), Image.Resampling.BICUBIC)
                picture.save(place / f"{index:03d}{('.jpg', '.JPEG', '.png')[index % 3]}", quality=95)
        return tmp_path / root

    return make


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is measured and cached stays in the test's folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "own_cache"))
