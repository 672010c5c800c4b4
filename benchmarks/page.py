"""How long ``convkit report``'s page takes to open: a run of many epochs, curves and strips, in headless Chromium.

    python benchmarks/page.py [--epochs 200] [--curves 20] [--strips 8] [--times 5] [--page FILE.html]

Without ``--page`` it makes such a run of random numbers and pictures: every curve has a value an epoch, every strip the
moments of FeatureEvolution's epochs. Seconds from the request until the load event, and until the curves in sight and
the strips are drawn, by the browser's own clock: median, least and most.
"""

import argparse
import shutil
import statistics
import tempfile
from pathlib import Path

import numpy as np
from playwright.sync_api import sync_playwright

from convkit.cli.front import main as convkit
from convkit.evolution.history import History, Moment

EPOCHS = (1, 2, 5, 10, 20, 30, 40, 64)
MAPS, SIDE = 12, 32
DRAWN = """new Promise((done) => {
  const look = () => (document.querySelector(".chart .u-over")
    && [...document.querySelectorAll("[data-strip]")].every((strip) => strip.dataset.epoch)
    ? done(performance.now()) : requestAnimationFrame(look));
  look();
})"""


def made(folder: Path, epochs: int, curves: int, strips: int) -> Path:
    """The directory of a run that never was."""
    random = np.random.default_rng(0)
    place = folder / "made" / "1"
    (place / "evolution").mkdir(parents=True)
    (place / "config.yaml").write_text("seed_everything: 0\n")
    names = ["train/loss", "val/loss", "val/top1_error", "val/top5_error", "lr/all"]
    names += [f"train/aux/{index}" for index in range(curves - len(names))]
    rows = [
        f"{epoch},{epoch * 400 + 400}," + ",".join(f"{value:.6f}" for value in random.random(len(names)))
        for epoch in range(epochs)
    ]
    (place / "metrics.csv").write_text(f"epoch,step,{','.join(names)}\n" + "\n".join(rows) + "\n")
    for stage in range(strips):
        history = History(f"conv{stage}", range(MAPS))
        for epoch in EPOCHS:
            one = random.random(MAPS)
            patches = random.integers(0, 256, (MAPS, 3, SIDE, SIDE)).astype(np.uint8)
            ways = random.standard_normal((MAPS, 3, SIDE, SIDE)).astype(np.float16)
            seen = np.ones((MAPS, SIDE, SIDE), bool)
            history.add(epoch, Moment(one, one, one, one, patches, ways, seen, one))
        history.save(place / "evolution")
    return place


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("epochs", 200), ("curves", 20), ("strips", 8), ("times", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--page", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        page = options.page
        if page is None:
            page = Path(folder) / "page.html"
            run = made(Path(folder), options.epochs, options.curves, options.strips)
            assert convkit(["report", str(run), "--out", str(page), "--files_only"]) == 0
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        loaded, drawn = [], []
        for _ in range(options.times):
            tab = browser.new_page(viewport={"width": 1280, "height": 900})
            tab.goto(page.absolute().as_uri())
            drawn.append(tab.evaluate(DRAWN) / 1000)
            loaded.append(tab.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd") / 1000)
            tab.close()
        browser.close()
        print(f"{page.stat().st_size / 1e6:.1f} MB")
        for name, seconds in (("loaded", loaded), ("drawn", drawn)):
            print(f"{name:<7} {statistics.median(seconds):.2f} s  ({min(seconds):.2f} to {max(seconds):.2f})")


if __name__ == "__main__":
    main()
