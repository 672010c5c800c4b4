"""The page's facts from a run's files, whatever is in them."""

import json
import math
import socket
from pathlib import Path

import pytest
from run_files import built, make

from convkit.errors import UserError
from convkit.report.page.curves import Curve, drops, steps_per_epoch
from convkit.report.page.facts import read
from convkit.report.page.told import about, numbers


def test_facts_of_a_run(tmp_path: Path) -> None:
    facts = read(make(tmp_path / "small" / "1"))
    assert facts.name == "small/1"
    assert facts.best == (20.0, 2)  # the test's own row, at the same step, is of no epoch
    assert facts.last("test/top1_error") == 21.0
    assert [(step, text) for step, text, _ in facts.drops] == [(20.0, "lr/all 0.1 → 0.01")]
    assert facts.drops[0][2] == pytest.approx(10)
    assert facts.steps_per_epoch == 10
    assert facts.config == {"seed_everything": 0, "model.lr": 0.1}


def test_a_smooth_descent_is_no_drop(tmp_path: Path) -> None:
    place = make(tmp_path / "small" / "1")
    rates = [0.1 * (1 + math.cos(math.pi * step / 100)) / 2 for step in range(100)]
    assert rates[-1] < 0.5 * rates[-2]
    rows = "".join(f"0,{rate},{step}\n" for step, rate in enumerate(rates))
    (place / "metrics.csv").write_text("epoch,lr/all,step\n" + rows)
    assert read(place).drops == []


@pytest.mark.parametrize(
    ("rates", "at"),
    [
        ((0.1, 0.1, 0.01, 0.001), [2, 3]),
        ((0.1, 0.1, 0.1, 0.02, 0.02, 0.004), [3, 5]),
        ((0.1, 0.09, 0.05, 0.02, 0.001), []),
        ((0.1, 0.1, 1e-320), []),  # by more than a number holds
    ],
)
def test_drops_in_successive_rows(rates: tuple[float, ...], at: list[int]) -> None:
    found = drops({"lr/all": Curve([float(step) for step in range(len(rates))], list(rates))})
    assert [step for step, _, _ in found] == at


@pytest.mark.parametrize(
    ("validations", "ended", "steps"),
    [
        (((10, 0), (20, 1)), 2, 10),
        (((10, 0), (15, 1)), 1, 10),  # killed after a validation in mid-epoch
        (((5, 0), (10, 0), (15, 1)), None, 10),
        (((5, 0),), 0, None),
        (((15, 1), (30, 2), (45, 4)), 4, 10),  # every 15 steps
        (((10, 0),), None, 10),
    ],
)
def test_the_steps_of_an_epoch(
    validations: tuple[tuple[float, float], ...], ended: int | None, steps: float | None
) -> None:
    at, epochs = map(list, zip(*validations, strict=True))
    found = {"val/loss": Curve(at, [1.0] * len(at)), "epoch": Curve(at, epochs)}
    assert steps_per_epoch(found, ended) == steps


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("state.json", {"state": "finished", "epoch": None, "seconds": "1"}),
        ("state.json", {"state": "stopped", "epoch": "three", "started": 5, "error": ["no"], "seconds": math.nan}),
        ("state.json", {"state": "crashed", "epoch": True, "error": "half of \ud83d"}),
        ("state.json", {"state": "running", "process": {"pid": 10**30, "host": socket.gethostname()}}),
        ("made_with.json", {"git": "0123456789", "data": {"sha256": 5}}),
        ("made_with.json", {"git": None, "data": "images"}),
        ("config.yaml", "tags: 5\nsince: 2026-01-01\nlist: [{2026-01-01: 2026-01-02}]\n"),
        ("config.yaml", "callbacks: [{class_path: 5}, {class_path: a.B, init_args: [1]}]\n1: {2: 3}\n"),
    ],
)
def test_what_is_of_another_type_is_left_out(tmp_path: Path, name: str, text: object) -> None:
    places = [make(tmp_path / "small" / number) for number in "12"]
    (places[0] / name).write_text(text if isinstance(text, str) else json.dumps(text))
    found = read(places[0])
    assert found.epochs == 2
    assert found.tags == []
    assert dict(about(found))["epochs"] == "2"
    assert "made now" in built(*places)
    assert "made now" in built(places[0])


@pytest.mark.parametrize(
    ("name", "text", "note"),
    [
        ("metrics.csv", None, "no metrics were written"),
        ("metrics.csv", "", "metrics.csv has no rows"),
        ("metrics.csv", "epoch,step,train/loss\n0,10,2.0\n0,20,1.", "the last line of metrics.csv was cut"),
        ("metrics.csv", "epoch,step,train/loss\n0,10,2.0\n0,20,nan\n", "train/loss is not finite at step 20"),
        ("metrics.csv", "epoch,step,train/loss\n0,10,2.0\n0,20,1.5\n", ""),
        (
            "metrics.csv",
            "epoch,step,train/loss\n0,10,2.0\n1,2x,3\n1,30,0.5.\n",
            "3 cells and rows of metrics.csv are no numbers",
        ),
        ("metrics.csv", "epoch,step,train/loss\n0,10,nan\n\0\0\0\n", "cells and rows of metrics.csv are no numbers"),
        ("val_confusion.csv", "true,a,b\na,3,1\nb,1", "val_confusion.csv cannot be read"),
        ("val_confusion.csv", "true\n", "val_confusion.csv cannot be read"),
        ("val_confusion.csv", f"true,a\na,{'9' * 200_000}\n", "val_confusion.csv cannot be read"),
        ("evolution/settling.csv", "stage,epoch\nconv1,1", "settling.csv cannot be read"),
        (
            "evolution/settling.csv",
            "stage,epoch,winners,projections,filters\nc,1,,,nan\nc,2,0.5,inf,0.1\n",
            "2 values of settling.csv are not finite",
        ),
        ("test_classes.json", '{"a": 7.5}', "test_classes.json cannot be read"),
        ("test_classes.json", "[1]", "test_classes.json cannot be read"),
        ("metrics.csv", f"epoch,step,train/loss\n0,10,2.0\n0,20,{'9' * 200_000}\n", "1 cells and rows of metrics.csv"),
    ],
)
def test_what_is_half_written_is_told(tmp_path: Path, name: str, text: str | None, note: str) -> None:
    place = make(tmp_path / "small" / "1")
    (place / name).parent.mkdir(exist_ok=True)
    if text is None:
        (place / name).unlink()
    else:
        (place / name).write_text(text)
    facts = read(place)
    assert any(note in each for each in facts.notes) if note else not facts.notes
    assert "made now" in built(place)


def test_a_configuration_that_cannot_be_read(tmp_path: Path) -> None:
    place = make(tmp_path / "small" / "1")
    (place / "config.yaml").write_text("a: [1")
    with pytest.raises(UserError, match=r"config\.yaml cannot be read"):
        read(place)


def test_the_head_tells_what_is_known(tmp_path: Path) -> None:
    place = make(
        tmp_path / "small" / "1", trainer={"max_epochs": 3}, data={"class_path": "convkit.datasets.digits.Digits"}
    )
    plugin = {"kind": "datasets", "name": "mine", "distribution": "their-images", "version": "1.2"}
    git = {"revision": "0123456789abcdef", "changed": True}
    made = {"convkit": "0.1.0", "torch": "2.15", "git": git, "plugins": [plugin], "data": {"sha256": "f" * 64}}
    (place / "made_with.json").write_text(json.dumps(made))
    told = dict(about(read(place)))
    assert told["epochs"] == "2 of 3"
    assert (told["data"], told["seed"]) == ("Digits", "0")
    assert told["made with"] == "convkit 0.1.0, torch 2.15, their-images 1.2"
    assert (told["revision"], told["data's fingerprint"]) == ("0123456789 and changes", "f" * 12)
    (place / "made_with.json").write_text('{"plugins": 3')
    assert "made with" not in dict(about(read(place)))


def test_the_numbers_by_epoch(tmp_path: Path) -> None:
    names, rows = numbers(read(make(tmp_path / "small" / "1")))
    assert names == ["lr/all", "train/loss", "val/loss", "val/top1_error"]
    assert rows == [(1, ["0.1", "2", "1.5", "25"]), (2, ["0.01", "1", "0.9", "20"])]
