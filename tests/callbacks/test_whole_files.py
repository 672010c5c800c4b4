"""Checkpoints are on disk as a whole or not at all, whenever the process is killed."""

import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.fabric.plugins.io import TorchCheckpointIO
from small_fits import classifier, fit
from two_ranks import PRELOADED

from convkit.callbacks.checkpoints import LastCheckpoint
from convkit.callbacks.whole_files import WholeFiles
from convkit.errors import UserError

OLD, NEW = {"weights": torch.zeros(1000)}, {"weights": torch.ones(1000)}


def save_and_die(path: str, after: int) -> None:
    """Killed when so many bytes are written."""
    save = torch.save

    def until(checkpoint: Any, file: Any) -> None:
        save(checkpoint, file)
        file.truncate(after)
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)

    torch.save = until
    WholeFiles().save_checkpoint(NEW, path)


@pytest.mark.parametrize("after", [0, 2000])
def test_a_kill_while_it_writes_leaves_the_file_before(tmp_path: Path, after: int) -> None:
    path = tmp_path / "checkpoints" / "last.ckpt"
    WholeFiles().save_checkpoint(OLD, path)
    multiprocessing.set_forkserver_preload(PRELOADED)
    process = multiprocessing.get_context("forkserver").Process(target=save_and_die, args=(str(path), after))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert torch.equal(torch.load(path, weights_only=True)["weights"], OLD["weights"])
    assert sorted(each.name for each in path.parent.iterdir()) == [".last.ckpt.new", "last.ckpt"]
    WholeFiles().save_checkpoint(NEW, path)  # and the next one is written over what is left
    assert torch.equal(torch.load(path, weights_only=True)["weights"], NEW["weights"])
    assert [each.name for each in path.parent.iterdir()] == ["last.ckpt"]


def test_a_full_disk_leaves_it_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "last.ckpt"
    WholeFiles().save_checkpoint(OLD, path)

    def full(checkpoint: Any, file: Any) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.warns(UserWarning, match=r"last\.ckpt cannot be written: No space left .* what was kept before stays"):
        WholeFiles().save_checkpoint(NEW, path)
    with pytest.warns(UserWarning, match=r"best\.ckpt cannot be written"):  # another is there to go on from
        WholeFiles().save_checkpoint(NEW, path.with_name("best.ckpt"))
    with pytest.raises(UserError, match=r"last\.ckpt cannot be written: No space left on device; make room"):
        WholeFiles().save_checkpoint(NEW, tmp_path / "none" / "last.ckpt")
    monkeypatch.undo()
    assert torch.equal(torch.load(path, weights_only=True)["weights"], OLD["weights"])
    assert [each.name for each in tmp_path.glob("**/*.*")] == ["last.ckpt"]


def test_elsewhere_than_on_a_disk_it_is_written_as_ever() -> None:
    WholeFiles().save_checkpoint(OLD, "memory://folder/last.ckpt")
    loaded = WholeFiles().load_checkpoint("memory://folder/last.ckpt", weights_only=True)
    assert torch.equal(loaded["weights"], OLD["weights"])


def test_a_run_writes_its_checkpoints_so(tmp_path: Path) -> None:
    made = fit(classifier(), LastCheckpoint(tmp_path), enable_checkpointing=True)
    assert type(made.strategy.checkpoint_io) is WholeFiles
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["global_step"] == 4


def test_unless_it_was_given_another_way(tmp_path: Path) -> None:
    class Theirs(TorchCheckpointIO):
        pass

    made = fit(classifier(), LastCheckpoint(tmp_path), enable_checkpointing=True, plugins=[Theirs()])
    assert type(made.strategy.checkpoint_io) is Theirs
