"""Accuracy and time on CIFAR-10: this network after 2 epochs, beside ResNet-20 after 2 and after 10.

    python race.py cifar10.npz [--runs N] [--threads N] [--only NAME:EPOCHS] [-- OPTIONS OF FIT]

Each contestant is a fit of its own, whose rate ends with its last epoch; they take turns, round after round. The
time is that of the whole command: start, training, a validation after each epoch, test.
"""

import argparse
import csv
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
CONTESTANTS = (("airbench", 2), ("resnet20", 2), ("resnet20", 10))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, help="arrays as convkit's data set `arrays` takes them")
    parser.add_argument("--runs", type=int, default=1, help="rounds, each with a seed of its own")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--only", metavar="NAME:EPOCHS", help="one contestant, such as airbench:10")
    parser.add_argument("rest", nargs="*", help="further options of `convkit fit`, after --")
    given = parser.parse_args()
    try:
        chosen = contestants(given.only)
    except ValueError as error:
        parser.error(str(error))
    results: dict[tuple[str, int], list[tuple[float, float]]] = {each: [] for each in chosen}
    for seed in range(given.runs):
        for name, epochs in chosen:
            accuracy, seconds = fit(name, epochs, given.path.resolve(), seed, given.threads, given.rest)
            results[name, epochs].append((accuracy, seconds))
            print(f"{name}, {epochs} epochs, seed {seed}: {accuracy:.2f} % in {seconds:.0f} s", flush=True)
    print("\n| network | epochs | test accuracy | training | n |\n|---|---|---|---|---|")
    for (name, epochs), found in results.items():
        accuracy, seconds = (told(values) for values in zip(*found, strict=True))
        print(f"| {name} | {epochs} | {accuracy} % | {seconds} s | {len(found)} |")


def contestants(only: str | None) -> list[tuple[str, int]]:
    """All, or the one that is named, with any number of epochs.

    Raises:
        ValueError: it is none.
    """
    if only is None:
        return list(CONTESTANTS)
    name, _, epochs = only.partition(":")
    if name not in {known for known, _ in CONTESTANTS} or not epochs.isdecimal() or not int(epochs):
        raise ValueError(f"{only!r} is no contestant: name and epochs, such as airbench:2 or resnet20:10")
    return [(name, int(epochs))]


def fit(name: str, epochs: int, path: Path, seed: int, threads: int, rest: list[str]) -> tuple[float, float]:
    """Test accuracy in percent, and seconds."""
    words = (
        f"fit --config {HERE / 'configs' / name}.yaml --data.path {path} --data.seed {seed} --seed_everything {seed}"
    )
    words += f" --trainer.max_epochs {epochs} --trainer.num_sanity_val_steps 0 --wandb off --name {name}"
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        began = time.perf_counter()
        with open(Path(folder) / "log", "w+") as log:
            command = [sys.executable, "-m", "convkit.cli.front", *words.split(), *rest]
            status = subprocess.run(command, cwd=folder, env=environment, stdout=log, stderr=log, check=False)
            whole = time.perf_counter() - began
            if status.returncode:
                log.seek(0)
                sys.exit(log.read()[-2000:])
        run = next(Path(folder).glob(f"runs/{name}/1"))
        with open(run / "metrics.csv", newline="") as file:
            rows = list(csv.DictReader(file))
    error = next(float(row["test/top1_error"]) for row in reversed(rows) if row.get("test/top1_error"))
    return 100 - error, whole


def told(values: tuple[float, ...]) -> str:
    """The mean, and the deviation where there are several."""
    mean = statistics.mean(values)
    return f"{mean:.2f} ± {statistics.stdev(values):.2f}" if len(values) > 1 else f"{mean:.2f}"


if __name__ == "__main__":
    main()
