"""What learns by the amount of data: fine-tunes by four policies on 10, 30, 100 and all images a class, and draws it.

    python docs/policies.py --root FOLDER --weights FILE [--seeds 3] [--steps 60] [--size 160]

FOLDER is an image folder (train/CLASS/…, val/CLASS/…), such as hymenoptera's ants and bees; FILE the weights of timm's
mobilenetv2_100. Every fit makes the same number of steps, so an image is seen the more often the fewer there are. A row
of docs/images/policies.csv is written after each fit and kept: run again, it goes on. Then docs/images/policies.png.
"""

import argparse
import csv
import statistics
import tempfile
import time
from pathlib import Path

import matplotlib.pyplot as plt

from convkit.cli.front import main as convkit
from convkit.run import Run

POLICIES = ("few", "some", "more", "all")
SIZES = (10, 30, 100, None)  # images a class; all of them
BATCH = 16
IMAGES = Path(__file__).parent / "images"
ROWS, PLOT = IMAGES / "policies.csv", IMAGES / "policies.png"
FIELDS = ("policy", "per_class", "images", "seed", "steps", "size", "seconds", "val_accuracy")


def fitted(options: argparse.Namespace, policy: str, per_class: int | None, seed: int, runs: str) -> dict[str, object]:
    """One fit, and the validation accuracy in percent after its last step."""
    words = [
        "--config=finetune", f"--data.root={options.root}", f"--model.init_from={options.weights}",
        f"--data.per_class={'null' if per_class is None else per_class}", f"--data.seed={seed}",
        f"--seed_everything={seed}", f"--trainer.callbacks.policy={policy}", f"--trainer.max_steps={options.steps}",
        "--trainer.max_epochs=-1", "--trainer.limit_val_batches=0", "--trainer.num_sanity_val_steps=0",
        f"--data.size={options.size}", f"--data.workers={options.workers}", "--wandb=off",
        f"--runs={runs}", "--name=study",
    ]  # fmt: skip
    begun = time.monotonic()
    assert convkit(["fit", *words]) == 0
    seconds = round(time.monotonic() - begun, 1)
    last = f"{runs}/study/latest/checkpoints/last.ckpt"
    assert convkit(["validate", f"--ckpt_path={last}", "--trainer.limit_val_batches=1.0"]) == 0
    run = Run.open(f"{runs}/study/latest")
    (result,) = Run.open(run.directory / "validate" / "1").metrics
    run.data.setup()
    row = (policy, per_class or "all", len(run.data.labels("train")), seed, options.steps, options.size, seconds)
    return dict(zip(FIELDS, (*row, round(100 - result["val/top1_error"], 2)), strict=True))


def known() -> list[dict[str, str]]:
    if not ROWS.is_file():
        return []
    with ROWS.open(newline="") as file:
        return list(csv.DictReader(file))


def measure(options: argparse.Namespace) -> None:
    done = {(row["policy"], row["per_class"], row["seed"]) for row in known()}
    for seed in range(options.seeds):
        for per_class in SIZES:
            for policy in POLICIES:
                if (policy, str(per_class or "all"), str(seed)) in done:
                    continue
                with tempfile.TemporaryDirectory() as runs:
                    row = fitted(options, policy, per_class, seed, runs)
                new = not ROWS.is_file()
                with ROWS.open("a", newline="") as file:
                    writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
                    if new:
                        writer.writeheader()
                    writer.writerow(row)


def draw() -> None:
    """Mean over the seeds, with the least and the most, by images a class and policy."""
    rows = known()
    figure, axes = plt.subplots(figsize=(6.4, 4.2), dpi=130, layout="constrained")
    for shift, policy, marker in zip((0.955, 0.985, 1.015, 1.045), POLICIES, "os^D", strict=True):  # side by side
        points = []
        for per_class in SIZES:
            own = [row for row in rows if row["policy"] == policy and row["per_class"] == str(per_class or "all")]
            values = [float(row["val_accuracy"]) for row in own]
            points.append((int(own[0]["images"]) / 2, statistics.mean(values), min(values), max(values)))
        count, mean, least, most = zip(*points, strict=True)
        below = [m - low for m, low in zip(mean, least, strict=True)]
        above = [high - m for m, high in zip(mean, most, strict=True)]
        axes.errorbar([each * shift for each in count], mean, (below, above), label=policy, marker=marker, capsize=3)
    axes.set_xscale("log")
    axes.set_xticks(count, [f"{each:.0f}" for each in count], minor=False)
    axes.minorticks_off()
    axes.set_xlabel("training images a class")
    axes.set_ylabel("validation accuracy (%)")
    axes.set_title(f"what learns ({len({row['seed'] for row in rows})} seeds: mean, least and most)")
    axes.grid(alpha=0.3)
    axes.legend(title="policy")
    figure.savefig(PLOT)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", required=True)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--size", type=int, default=160, help="side of the network's images in pixels")
    parser.add_argument("--workers", type=int, default=1)
    measure(parser.parse_args())
    draw()
