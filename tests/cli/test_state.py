"""``state.json``: how a fit stands while it goes, and how it ended."""

import json
from pathlib import Path

import pytest

from conftest import SMALL, Command

ENDS = """
import json, os, signal
from pathlib import Path
from lightning.pytorch import Callback

class Ends(Callback):
    def __init__(self, how: str = "") -> None:
        self.how = how
    def on_train_batch_end(self, trainer, module, outputs, batch, index) -> None:
        if trainer.current_epoch == 1 and index == 2:
            state = Path(trainer.default_root_dir, "state.json").read_text()
            Path("seen.json").write_text(state)
            if self.how == "signal":
                os.kill(os.getpid(), signal.SIGTERM)
            if self.how == "error":
                raise RuntimeError("out of\\n  luck")
            if self.how == "full":
                folder = Path(trainer.default_root_dir, ".state.json.new")
                folder.mkdir()
"""


def test_running_finished_stopped_and_crashed(
    convkit: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ends.py").write_text(ENDS)
    monkeypatch.syspath_prepend(tmp_path)

    def fit(how: str) -> int:
        words = ["--trainer.callbacks+=ends.Ends", f"--trainer.callbacks.how={how}"]
        return convkit("fit", *SMALL, "--trainer.max_epochs", 2, "--name", how or "none", *words).status

    def state(name: str) -> dict:
        return json.loads((tmp_path / "runs" / name / "1" / "state.json").read_text())

    assert fit("") == 0
    seen = json.loads(Path("seen.json").read_text())
    assert (seen["state"], seen["epoch"]) == ("running", 1)
    done = state("none")
    assert (done["state"], done["epoch"], done["step"]) == ("finished", 2, 22)
    assert 0 < seen["seconds"] < done["seconds"]
    assert fit("signal") == 143
    assert (state("signal")["state"], state("signal")["epoch"]) == ("stopped", 1)
    assert state("signal")["error"].startswith("SIGTERM at step 14")
    with pytest.raises(RuntimeError):
        fit("error")
    assert (state("error")["state"], state("error")["error"]) == ("crashed", "RuntimeError: out of luck")
    found = {row["name"]: row["state"] for row in json.loads(convkit("runs", "--json").out)}
    assert found == {"none/1": "finished", "signal/1": "stopped", "error/1": "crashed"}


def test_a_state_that_cannot_be_written_ends_no_fit(
    convkit: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ends.py").write_text(ENDS)
    monkeypatch.syspath_prepend(tmp_path)
    words = ["--trainer.max_epochs", 2, "--trainer.callbacks+=ends.Ends", "--trainer.callbacks.how=full"]
    with pytest.warns(UserWarning, match=r"state\.json cannot be written"):
        result = convkit("fit", *SMALL, *words)
    assert result.status == 0
    assert (tmp_path / "runs/quickstart/1/checkpoints/best.ckpt").is_file()
