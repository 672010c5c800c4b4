"""SIGKILL in the middle of a fine-tuning fit: what lies on disk then leads to the very same weights."""

import multiprocessing
import os
import random
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from two_ranks import PRELOADED

from convkit.architectures.densenet_cifar import DenseNetCifar
from convkit.callbacks.interruption import Interruption
from convkit.cli.front import main
from saved_states import contents, same

# Batch norm, dropout, momentum; 8 steps an epoch, thawed after the second epoch and after the third.
CONFIG = """
data: {class_path: digits, init_args: {size: 16, batch_size: 50, per_class: 40}}
model:
  architecture: {class_path: densenet_cifar, init_args: {depth: 10, growth_rate: 4, dropout: 0.2}}
  schedule: {class_path: plateau, init_args: {lr: 0.02, patience: 1}}
  init_from: weights.pt
trainer:
  max_epochs: 5
  limit_val_batches: 2
  enable_progress_bar: false
  callbacks:
    - class_path: Freezing
      init_args: {freeze: body, thaw: {2: [dense_block3, transition2], 3: [body]}}
    # Beside last.ckpt, of every epoch; 5 and 8 have no common multiple before the end.
    - {class_path: ModelCheckpoint, init_args: {every_n_train_steps: 5, save_top_k: -1}}
"""
STEPS = 40


def run(words: list[str], folder: str, kill_at: int | None) -> None:
    """In a process of its own: a fit that is killed when it begins a step."""
    os.chdir(folder)

    def on_train_batch_start(self: Interruption, trainer: Any, *_: Any) -> None:
        if trainer.global_step == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    Interruption.on_train_batch_start = on_train_batch_start  # type: ignore[method-assign]
    raise SystemExit(main(["fit", *words, "--wandb", "off", "--test_at_end", "false"]))


def ended(*words: str, folder: Path, kill_at: int | None = None) -> int | None:
    """The exit status of such a process."""
    multiprocessing.set_forkserver_preload(PRELOADED)
    process = multiprocessing.get_context("forkserver").Process(target=run, args=(list(words), str(folder), kill_at))
    process.start()
    process.join(120)
    return process.exitcode


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("killed")
    torch.manual_seed(7)
    net = DenseNetCifar(10, (1, 16, 16), depth=10, growth_rate=4, dropout=0.2)
    torch.save(net.state_dict(), folder / "weights.pt")
    (folder / "config.yaml").write_text(CONFIG)
    assert ended("--config", "config.yaml", "--name", "whole", folder=folder) == 0
    return folder


RANDOM = sorted(random.Random(20).sample(range(1, STEPS), 10))


@pytest.mark.parametrize(
    "step",
    [15, 16, 29, *(pytest.param(step, marks=pytest.mark.slow) for step in RANDOM)],
    ids=lambda step: f"step {step}",
)
def test_killed_and_gone_on_with(folder: Path, step: int) -> None:
    """15 is the last step before a thaw, 16 the first one after it, 29 lies behind both."""
    name = f"killed at {step}"
    assert ended("--config", "config.yaml", "--name", name, folder=folder, kill_at=step) == -signal.SIGKILL
    files = list((folder / "runs" / name / "1" / "checkpoints").glob("*.ckpt"))
    if step < 5:  # before the first checkpoint there is nothing to go on from
        assert not files
        assert ended("--config", "config.yaml", "--name", name, folder=folder) == 0
    else:
        newest = max(files, key=lambda file: contents(file)["global_step"])
        assert contents(newest)["global_step"] == max(step // 5 * 5, step // 8 * 8)
        assert ended("--ckpt_path", str(newest), folder=folder) == 0
    whole, resumed = (contents(folder / "runs" / run / "checkpoints" / "last.ckpt")
                      for run in ("whole/1", f"{name}/2"))  # fmt: skip
    assert whole["global_step"] == resumed["global_step"] == STEPS
    assert whole["callbacks"]["Freezing"]["thawed"] == ["dense_block3", "transition2", "body"]
    for part in ("state_dict", "optimizer_states", "lr_schedulers"):
        assert same(whole[part], resumed[part]), part
    assert same(whole["callbacks"]["Freezing"], resumed["callbacks"]["Freezing"])


def test_the_steps_lie_before_between_and_after_the_thaws() -> None:
    assert len(set(RANDOM)) == 10
    assert min(RANDOM) < 16 < max(RANDOM)
    assert any(16 <= step < 24 for step in RANDOM)
    assert any(step >= 24 for step in RANDOM)
