"""What 200 installed plugins cost a command that uses none of them, against none installed.

    python benchmarks/plugins.py [--runs 10] [--distributions 200]

Each distribution, made for this in a folder on PYTHONPATH, offers an architecture, a data set, a schedule and an
explainer from a module that raises when it is imported. Whole processes, with and without them in turn after one round
that is not counted; medians in milliseconds, and the median of the rounds' ratios with their least and most.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from convkit.plugins import GROUPS

COMMANDS = {
    "import convkit": ["-c", "import convkit"],
    "convkit --version": ["-m", "convkit.cli.front", "--version"],
    "convkit --help": ["-m", "convkit.cli.front", "--help"],
    "convkit plugins": ["-m", "convkit.cli.front", "plugins"],
    "convkit fit --help": ["-m", "convkit.cli.front", "fit", "--help"],
}


def install(folder: Path, count: int) -> None:
    """What pip leaves of so many distributions."""
    for number in range(count):
        info = folder / f"stranger_{number}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: stranger-{number}\nVersion: 1.0\n")
        groups = (f"[{group}]\nstrange{number} = stranger_{number}:Strange\n" for group in GROUPS.values())
        (info / "entry_points.txt").write_text("\n".join(groups))
        (folder / f"stranger_{number}.py").write_text("raise RuntimeError('imported without being chosen')\n")


def seconds(words: list[str], path: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, *words], check=True, capture_output=True, env={**os.environ, "PYTHONPATH": path})
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--distributions", type=int, default=200)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as none, tempfile.TemporaryDirectory() as crowd:
        install(Path(crowd), given.distributions)
        print(f"{'command':<22}{'none, ms':>10}{given.distributions:>6}, ms{'ratio':>8}{'least':>8}{'most':>8}")
        for name, words in COMMANDS.items():
            rounds = [(seconds(words, none), seconds(words, crowd)) for _ in range(given.runs + 1)][1:]
            alone, among = (1000 * statistics.median(column) for column in zip(*rounds, strict=True))
            ratios = [with_them / without for without, with_them in rounds]
            told = f"{statistics.median(ratios):>8.2f}{min(ratios):>8.2f}{max(ratios):>8.2f}"
            print(f"{name:<22}{alone:>10.0f}{among:>10.0f}{told}")


if __name__ == "__main__":
    main()
