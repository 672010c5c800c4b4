"""What convkit asks of every data set, by convkit's own suite."""

from pathlib import Path

import pytest
from convkit_litdata.dataset import LitData
from numbered import KNOWN, converted, folder

testing = pytest.importorskip("convkit.testing")


@pytest.mark.parametrize("ranks", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_dataset(ranks: int, tmp_path: Path) -> None:
    out = converted(folder(tmp_path / "in", train=40, val=20, test=20), tmp_path / "out")
    # Workers are tried by fits of two ranks; here each of them would import torch anew, as the ranks do.
    testing.check_dataset(LitData, ranks=ranks, root=str(out), size=8, resize=8, batch_size=16, workers=0, **KNOWN)
