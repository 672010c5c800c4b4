"""What an offline fit leaves for Weights & Biases, read back from its file."""

import json
import struct
import time
from pathlib import Path
from typing import Any

import pytest
import wandb
from wandb.proto.wandb_internal_pb2 import Record

from convkit.cli.front import main
from convkit.run import Run

WORDS = ["fit", "--config", "quickstart", "--data.size=16", "--data.batch_size=128", "--trainer.max_epochs=2"]


def records(folder: Path) -> list[Record]:
    """Those of the run in ``folder``, once its writer, another process, is done with the file."""
    deadline = time.monotonic() + 30
    while not (found := read(folder)) or found[-1].WhichOneof("record_type") != "exit":
        assert time.monotonic() < deadline, "the file never ended"
        time.sleep(0.05)
    return found


def read(folder: Path) -> list[Record]:
    """A ``.wandb`` file: seven bytes of header, then LevelDB's log of protobuf records.

    Blocks of 32 KiB hold pieces, each behind seven bytes: checksum, length, and whether it is a whole record (1) or
    the first (2), a middle (3) or the last (4) part of one.
    """
    [path] = folder.glob("wandb/offline-run-*/*.wandb")
    data, place, found, parts = path.read_bytes(), 7, [], b""
    assert b":W&B".startswith(data[:4])
    while place + 7 <= len(data):
        if 32768 - place % 32768 < 7:  # no room for another piece
            place += 32768 - place % 32768
            continue
        length, kind = struct.unpack_from("<HB", data, place + 4)
        piece = data[place + 7 : place + 7 + length]
        place += 7 + length
        if place > len(data):  # still being written
            break
        parts = piece if kind in (1, 2) else parts + piece
        if kind in (1, 4):
            found.append(Record())
            found[-1].ParseFromString(parts)
    return found


def items(updates: Any) -> dict[str, Any]:
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in updates}


def test_an_offline_run_holds_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(WORDS) == 0
    folder = tmp_path / "runs/quickstart/1"
    config: dict[str, Any] = {}
    rows: list[dict[str, Any]] = []
    name = ended = None
    for record in records(folder):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            name = record.run.display_name
            config |= items(record.run.config.update)
        elif kind == "config":
            config |= items(record.config.update)
        elif kind == "history":
            rows.append(items(record.history.item))
        elif kind == "exit":
            ended = record.exit.exit_code
    assert (name, ended) == ("quickstart/1", 0)
    assert config["model"]["architecture"]["class_path"] == "convkit.architectures.lenet.LeNet"
    assert config["data"]["init_args"]["size"] == 16
    logged = {key: row[key] for row in rows for key in row}
    assert logged["lr/all"] == 0.01
    for row in Run.open(folder).metrics:
        for key in row.keys() & {
            "train/loss",
            "val/top1_error",
            "val/top5_error",
            "test/top1_error",
            "test/top5_error",
        }:
            assert any(each.get(key) == pytest.approx(row[key], abs=1e-6) for each in rows), key
    for split in ("val", "test"):
        assert logged[f"{split}/mistakes/_type"] == "image-file"
        [files] = folder.glob("wandb/offline-run-*/files")
        assert (files / logged[f"{split}/mistakes/path"]).is_file()
        cells = json.loads((files / logged[f"{split}/confusion_table/path"]).read_text())
        assert cells["columns"] == ["Actual", "Predicted", "nPredictions"]
        assert sum(count for *_, count in cells["data"]) == {"val": 143, "test": 359}[split]
        assert len(cells["data"]) == 100


def test_two_fits_in_one_process_are_two_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert main([*WORDS, "--test_at_end=false"]) == 0
    for number in ("1", "2"):
        runs = [record.run for record in records(tmp_path / "runs/quickstart" / number) if record.HasField("run")]
        assert runs[0].display_name == f"quickstart/{number}"
    assert wandb.run is None


def test_a_tracker_that_cannot_start_stops_no_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    def broken(**_: Any) -> None:
        raise wandb.errors.CommError("no\n  disk")

    monkeypatch.setattr(wandb, "init", broken)
    with pytest.warns(UserWarning, match="Weights & Biases is off in this run: no disk"):
        assert main([*WORDS, "--test_at_end=false"]) == 0
    assert "result: " in capsys.readouterr().out
    assert Run.open("runs/quickstart").metrics
    assert not Path("runs/quickstart/1/wandb").exists()


@pytest.mark.parametrize("words", [["--wandb=off"], ["--trainer.logger=false"], ["--trainer.fast_dev_run=true"]])
def test_no_tracker_where_none_is_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(wandb, "init", lambda **_: pytest.fail("started"))
    assert main([*WORDS, "--trainer.max_epochs=1", *words]) == 0
