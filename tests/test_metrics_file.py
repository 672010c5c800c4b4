"""``metrics.csv`` of a run that is being written, or was killed while it was."""

import math
from pathlib import Path

import pytest

from convkit.metrics_file import read_metrics

WHOLE = "epoch,step,val/loss,val/top1_error\n0,11,0.5,20.0\n0,11,,\n1,22,nan,10.0\n"


def kept(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "metrics.csv"
    path.write_bytes(text.encode(errors="surrogateescape"))
    return path


def test_whole(tmp_path: Path) -> None:
    rows, cut, bad = read_metrics(kept(tmp_path, WHOLE))
    assert (cut, bad) == (False, 0)
    assert rows[:2] == [{"epoch": 0, "step": 11, "val/loss": 0.5, "val/top1_error": 20}, {"epoch": 0, "step": 11}]
    assert math.isnan(rows[2]["val/loss"])


@pytest.mark.parametrize(
    ("more", "cut", "bad"),
    [
        ("2,33,0.4", True, 0),  # 0.41, cut
        ("2", True, 0),
        ("2,33,0.4,high\n", False, 1),
        ("2,,0.4,5\n", False, 1),
        ("2,inf,0.4,5\n", False, 1),
        ("2,33,0.4,5,6,7\n", False, 0),
        ("\udcff\x00,\udcff\n", False, 3),
        (f"2,33,{'9' * 200_000},5\n3,44,0.1,5\n", False, 1),
    ],
)
def test_damaged(tmp_path: Path, more: str, cut: bool, bad: int) -> None:
    whole = read_metrics(kept(tmp_path, WHOLE)).rows
    found = read_metrics(kept(tmp_path, WHOLE + more))
    assert str(found.rows[: len(whole)]) == str(whole)
    assert (found.cut, found.bad) == (cut, bad)
    assert all(row["step"] <= 33 and row.get("val/loss", 0.4) != 0.41 for row in found.rows)


def test_none(tmp_path: Path) -> None:
    assert read_metrics(tmp_path / "metrics.csv") == ([], False, 0)
    assert read_metrics(kept(tmp_path, "")) == ([], False, 0)
    with pytest.raises(IsADirectoryError):
        read_metrics(tmp_path)
