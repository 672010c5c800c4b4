"""One data set for all tests, which leave it as it is."""

from pathlib import Path

import pytest
from numbered import COUNT, converted, folder


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder(tmp_path_factory.mktemp("images"), train=COUNT, val=20)


@pytest.fixture(scope="session")
def chunks(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return converted(images, tmp_path_factory.mktemp("chunks") / "out")
