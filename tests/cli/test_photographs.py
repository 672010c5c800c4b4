"""Fits on a folder of photographs: the same images in every step, on one rank or two, whatever stops it in between."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

IMAGES, BATCH = 80, 7
STEPS = 11  # the last of ten
RECORDER = '''
import hashlib
import os
import signal

from lightning.pytorch import Callback


class Recorder(Callback):
    """Appends epoch, step, number and pixels of every training image to a file of each rank; stops the last rank."""

    def __init__(self, path: str, stop_at: int = -1) -> None:
        self.path, self.stop_at = path, stop_at

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        with open(f"{self.path}.{trainer.global_rank}", "a") as file:
            for image, target in zip(*batch, strict=True):
                number = round(image[0].max().item() * 255 / 3)  # a hole is black
                assert target == number % 2
                digest = hashlib.sha256(image.numpy().tobytes()).hexdigest()
                print(trainer.current_epoch, trainer.global_step, number, digest, file=file)
        if trainer.global_step == self.stop_at and trainer.global_rank == trainer.world_size - 1:
            os.kill(os.getpid(), signal.SIGTERM)


class Spoiler(Callback):
    """Damages a file when the first epoch is over."""

    def __init__(self, path: str) -> None:
        self.path = path

    def on_train_epoch_end(self, trainer, pl_module):
        with open(self.path, "r+b") as file:
            file.truncate(100)
'''


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """80 + 20 images of two classes; red tells which one it is, green and blue which part of it is seen."""
    (tmp_path / "recorder.py").write_text(RECORDER)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for number in range(IMAGES + 20):
        random = np.random.RandomState(number)
        pixels = random.randint(0, 256, (48, 60, 3), dtype=np.uint8)
        pixels[:, :, 0] = 3 * (number % IMAGES)
        place = tmp_path / "root" / ("train" if number < IMAGES else "val") / "ab"[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(place / f"{number:03d}.png")
    return tmp_path / "root"


def words(root: Path, name: str, workers: int, stop_at: int = -1, *more: str) -> list[str]:
    recorder = f'{{"class_path": "recorder.Recorder", "init_args": {{"path": "{name}", "stop_at": {stop_at}}}}}'
    options = {
        "data": "image_folder",
        "data.root": root,
        "data.size": 32,
        "data.workers": workers,
        "data.batch_size": BATCH,
        "data.mean": [0, 0, 0],
        "data.std": [1, 1, 1],
        "data.augment.cutout": 4,
        "model.architecture": "lenet",
        "model.schedule": "plateau",
        "trainer.max_epochs": 2,
        "trainer.accelerator": "cpu",
        "trainer.callbacks": f"[{recorder}]",
        "name": name,
        "wandb": "off",
    }
    return ["fit", *(f"--{key}={value}" for key, value in options.items()), *more]


def steps(*names: str) -> dict[tuple[int, int], list[tuple[int, str]]]:
    """Of each epoch and step, the images that all ranks saw of it: which, and how."""
    found: dict[tuple[int, int], list[tuple[int, str]]] = {}
    for name in names:
        for path in Path().glob(f"{name}.[0-9]"):
            for line in path.read_text().splitlines():
                epoch, step, number, digest = line.split()
                found.setdefault((int(epoch), int(step)), []).append((int(number), digest))
    return {place: sorted(images) for place, images in sorted(found.items())}


@pytest.fixture
def whole(root: Path, convkit: Callable[..., Any]) -> dict[tuple[int, int], list[tuple[int, str]]]:
    assert convkit(*words(root, "whole", 0)).status == 0
    found = steps("whole")
    assert list(found) == [(epoch, epoch * STEPS + step) for epoch in range(2) for step in range(STEPS)]
    for epoch in range(2):
        numbers = [number for (of, _), images in found.items() for number, _ in images if of == epoch]
        assert sorted(numbers) == list(range(IMAGES))  # each once, none left out
    return found


@pytest.mark.parametrize(("before", "after"), [(2, 0), (0, 2), (2, 2)])
def test_stopped_in_mid_epoch_it_goes_on_with_the_next_batch(
    root: Path, convkit: Callable[..., Any], whole: Any, before: int, after: int
) -> None:
    for index, stop_at in enumerate((4, STEPS + 6)):
        first, then = f"first{index}", f"then{index}"
        assert convkit(*words(root, first, before, stop_at)).status == 143
        seen = steps(first)
        assert seen == {place: images for place, images in whole.items() if place[1] <= stop_at}
        checkpoint = f"--ckpt_path=runs/{first}/1/checkpoints/last.ckpt"
        assert convkit(*words(root, then, after), checkpoint).status == 0
        assert {**seen, **steps(then)} == whole
        assert not seen.keys() & steps(then).keys()


def test_two_ranks_see_what_one_sees_and_one_goes_on_where_two_stopped(
    root: Path, convkit: Callable[..., Any], process: Callable[..., subprocess.Popen[str]], whole: Any
) -> None:
    two = ("--trainer.devices=2", "--trainer.strategy=ddp")
    path = os.pathsep.join(filter(None, [str(root.parent), os.environ.get("PYTHONPATH")]))
    running = process(*words(root, "two", 2, STEPS + 3, *two), PYTHONPATH=path)
    out, err = running.communicate(timeout=300)
    assert (running.returncode, err) == (143, ""), out
    seen = steps("two")
    assert seen == {place: images for place, images in whole.items() if place[1] < STEPS + 8}  # they agree every 8
    assert len({path.suffix for path in Path().glob("two.[0-9]")}) == 2
    one = ("--trainer.devices=1", "--trainer.strategy=auto", "--ckpt_path=runs/two/1/checkpoints/last.ckpt")
    assert convkit(*words(root, "one", 0, -1, *one)).status == 0
    assert {**seen, **steps("one")} == whole


@pytest.mark.parametrize("workers", [0, 2])
def test_a_file_that_breaks_later_stops_it_and_the_checkpoint_stays(
    root: Path, convkit: Callable[..., Any], workers: int
) -> None:
    broken = root / "train" / "b" / "017.png"
    spoiler = f'{{"class_path": "recorder.Spoiler", "init_args": {{"path": "{broken}"}}}}'
    told = convkit(*words(root, "it", workers), f"--trainer.callbacks=[{spoiler}]")
    assert told.status == 2
    assert told.err.splitlines()[-1].startswith(f"convkit: error: {broken} cannot be read: ")
    assert told.err.count("\n") == 1
    checkpoint = "--ckpt_path=runs/it/1/checkpoints/last.ckpt"
    going_on = convkit(*words(root, "on", workers), checkpoint, "--data.on_error=skip")
    assert going_on.status == 0, going_on.err
    assert Path("runs/on/1/skipped.txt").read_text().split("\t")[0] == str(broken)
    numbers = [number for (epoch, _), images in steps("on").items() for number, _ in images if epoch == 1]
    assert sorted(numbers) == [number for number in range(IMAGES) if number != 17]  # nothing stands in for it
