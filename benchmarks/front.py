"""How long a command takes that computes nothing, against the bare interpreter and an import of torch.

    python benchmarks/front.py [--runs 5]

Whole processes, in turn, after one round that is not counted; median, least and most in milliseconds, and the median's
ratio to the bare interpreter's.
"""

import argparse
import statistics
import subprocess
import sys
import time

COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "convkit --version": [sys.executable, "-m", "convkit.cli.front", "--version"],
    "convkit --help": [sys.executable, "-m", "convkit.cli.front", "--help"],
    "convkit plugins": [sys.executable, "-m", "convkit.cli.front", "plugins"],
    "convkit fit --help": [sys.executable, "-m", "convkit.cli.front", "fit", "--help"],
    "python -c 'import torch'": [sys.executable, "-c", "import torch"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for turn in range(runs + 1):
        for name, command in COMMANDS.items():
            start = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            if turn:
                times[name].append(1000 * (time.perf_counter() - start))
    bare = statistics.median(times["python -c pass"])
    print(f"{'command':<26}{'median ms':>10}{'least':>8}{'most':>8}{'ratio':>8}")
    for name, values in times.items():
        median = statistics.median(values)
        print(f"{name:<26}{median:>10.0f}{min(values):>8.0f}{max(values):>8.0f}{median / bare:>8.1f}")


if __name__ == "__main__":
    main()
