"""What watching features form costs an epoch, and what top patches cost beside plain inference.

    python benchmarks/evolution.py [--network resnet20] [--steps 40] [--rounds 5] [--images 10000] [--threads 1]

Random images. ``fit``: the steps of an epoch of `Trainer.fit` with the callback `FeatureEvolution` over all convolution
stages and all their maps, pictures of them too, against the same without; the first epoch, when maxima are beaten most
often. ``patches``: the search for the nine strongest of every map over as many images, against the network alone over
the same batches. Contestants in turn, round after round; median, least and most, and the median of the rounds' ratios.
The end of a recorded epoch (projections and pictures) is timed by itself: it comes eight times in a fit.

  resnet20   3×32×32, batch 128          alexnet   3×224×224, batch 32
"""

import argparse
import gc
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import lightning
import numpy as np
import torch
from clock import Clock
from lightning.pytorch import Callback, Trainer

from convkit.analyses.patches import search
from convkit.architectures.alexnet import AlexNet
from convkit.architectures.resnet_cifar import ResNetCifar
from convkit.callbacks.feature_evolution import FeatureEvolution
from convkit.classifier import Classifier
from convkit.cli.quiet import quiet
from convkit.datasets.arrays import Arrays
from convkit.schedules.plateau import Plateau
from convkit.strongest import Strongest

NETWORKS: dict[str, tuple[Any, dict[str, Any], int, int]] = {
    "resnet20": (ResNetCifar, {"depth": 20}, 32, 128),
    "alexnet": (AlexNet, {}, 224, 32),
}
EVERY = 10**6  # maps: of each stage all that there are


class Timed(FeatureEvolution):
    """Notes how long it took in steps, and at the end of a recorded epoch."""

    seconds: list[float] = []
    own: list[float] = []  # of each fit, seconds in the steps that are timed
    warm_up = 2

    def on_train_start(self, *arguments: Any) -> None:
        super().on_train_start(*arguments)
        self.own.append(0.0)

    def on_train_batch_start(self, *arguments: Any) -> None:
        if arguments[3] == self.warm_up:
            self.own[-1] = 0.0
        start = Clock.now()
        super().on_train_batch_start(*arguments)
        self.own[-1] += Clock.now() - start

    def _see(self, *arguments: Any) -> None:
        start = Clock.now()
        super()._see(*arguments)
        self.own[-1] += Clock.now() - start

    def on_train_epoch_end(self, *arguments: Any) -> None:
        start = time.perf_counter()
        super().on_train_epoch_end(*arguments)
        self.seconds.append(time.perf_counter() - start)


class Bench:
    """The contestants; each returns seconds."""

    def __init__(self, network: str, steps: int, images: int, last: bool, folder: Path) -> None:
        self.net, self.options, side, batch = NETWORKS[network]
        self.last, self.folder, self.warm_up = last, folder, Timed.warm_up
        self.tracked: list[float] = []  # of each search, seconds in the tracker
        random = np.random.default_rng(0)
        count = batch * (steps + self.warm_up)
        made = random.integers(0, 256, (max(count, images), side, side, 3), dtype=np.uint8)
        labels = random.integers(0, 10, len(made))
        np.savez(folder / "a.npz", x_train=made[:count], y_train=labels[:count], x_test=made[:images],
                 y_test=labels[:images])  # fmt: skip
        self.data = Arrays(str(folder / "a.npz"), val_fraction=0, batch_size=batch, mean=[0.5] * 3, std=[0.25] * 3)
        self.data.setup()
        self.stages = [name for name in self.model().net.stages if name.startswith("conv")]

    def model(self) -> Classifier:
        torch.manual_seed(0)

        def make(classes: int, shape: tuple[int, int, int]) -> Any:
            return self.net(classes, shape, **self.options)

        return Classifier(make, Plateau(lr=0.01), None, 10, self.data.image_shape, channels_last=self.last)

    def fit(self, *callbacks: Callback) -> float:
        trainer = Trainer(
            accelerator="cpu",
            max_epochs=1,
            limit_val_batches=1,  # the schedule wants one; it is not timed
            logger=False,
            callbacks=[*callbacks, Clock(self.warm_up)],
            default_root_dir=self.folder,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(self.model(), self.data)
        return Clock.times.pop()

    def evolving(self) -> float:
        return self.fit(Timed(stages=self.stages, pictures=EVERY))

    def inference(self) -> float:
        model, start = self.model().eval(), Clock.now()
        with torch.inference_mode():
            for images, _ in self.data.evaluation("test"):
                model(images)
        return Clock.now() - start

    def patches(self) -> float:
        model, start = self.model().eval(), Clock.now()
        self.tracked.append(0.0)
        with mock.patch.object(Strongest, "update", self._timed(Strongest.update)):
            search(model, self.data, self.stages, 9, "test")
        return Clock.now() - start

    def _timed(self, update: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any) -> Any:
            start = Clock.now()
            result = update(*arguments)
            self.tracked[-1] += Clock.now() - start
            return result

        return timed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=NETWORKS, default="resnet20")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--channels_last", action="store_true")
    parser.add_argument("--cpu", action="store_true", help="the process's own time, where others share the machine")
    parser.add_argument("--only", choices=("fit", "patches"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    quiet()
    warnings.simplefilter("ignore")
    Clock.now = staticmethod(time.process_time if options.cpu else time.perf_counter)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(options.network, options.steps, options.images, options.channels_last, Path(folder))
        pairs: dict[str, tuple[Callable[[], float], Callable[[], float]]] = {
            "fit": (bench.fit, bench.evolving),
            "patches": (bench.inference, bench.patches),
        }
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in pairs if options.only in (None, name)}
        for number in range(options.rounds):
            for name, found in times.items():
                turn = pairs[name] if number % 2 == 0 else pairs[name][::-1]
                one = []
                for contestant in turn:
                    gc.collect()
                    one.append(contestant())
                found.append((one[0], one[1]) if number % 2 == 0 else (one[1], one[0]))
    layout = ", channels_last" if options.channels_last else ""
    print(f"{options.network}{layout}, {options.threads} thread(s) of {os.cpu_count()}, torch {torch.__version__}, "
          f"lightning {lightning.__version__}, stages {' '.join(bench.stages)}")  # fmt: skip
    for name, found in times.items():
        scale, unit = (1000, "ms a step") if name == "fit" else (1, f"s for {options.images:,} images")
        for label, values in zip(
            ("without" if name == "fit" else "plain", "with"), zip(*found, strict=True), strict=True
        ):
            median, least, most = (scale * each for each in (statistics.median(values), min(values), max(values)))
            print(f"{name:<8} {label:<8} {median:9.2f} {unit}  ({least:.2f} to {most:.2f})")
        ratios = [after / before if name == "fit" else before / after for before, after in found]
        print(f"{name:<8} ratio    {statistics.median(ratios):9.3f}  ({min(ratios):.3f} to {max(ratios):.3f})")
    if bench.tracked:
        shares = [own / whole for own, (_, whole) in zip(bench.tracked, times["patches"], strict=True)]
        print(f"of the search, in the tracker itself: {100 * statistics.median(shares):.2f} %")
    if Timed.seconds:
        shares = [own / options.steps / step for own, (_, step) in zip(Timed.own, times["fit"], strict=True)]
        print(f"of a step, in the callback itself: {100 * statistics.median(shares):.2f} %")
        print(f"end of a recorded epoch: {statistics.median(Timed.seconds):.2f} s")


if __name__ == "__main__":
    main()
