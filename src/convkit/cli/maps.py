"""``convkit maps``: what each feature map makes of an image, up to where torch is needed."""

import json
from dataclasses import dataclass
from pathlib import Path

from convkit.cli.export import Parser
from convkit.cli.patches import read_channels, read_stages

HELP = """\
convkit maps RUN --out DIR [--images FILE … | --split NAME --count N --seed N] [--stage NAME] [--channels 0,3,7]
             [--json]

The feature maps of a trained network for some images, as pictures: an image and beside it all maps of a stage. And the
filters of the first layer.

  RUN              a run (runs/NAME/N, runs/NAME/latest, runs/NAME) or a checkpoint file of one
  --out DIR        must not be there, or be empty: 0000_STAGE.png for each image and stage, filters.png; maps.npz with
                   the numbers, an array a stage (N×C×h×w), filters, images (from 0 to 1); manifest.json
  --images FILE …  image files, of the size that the network takes; photographs are cropped as in evaluation
  --split NAME     or images of the run's data: train, val (default) or test
  --count N        so many (4), as many of each class as of any other
  --seed N         which ones (0)
  --stage NAME     one or several, or patterns: conv5 or conv3,conv5 or 'conv*'; by default all whose units have a
                   place in the image
  --channels LIST  these feature maps, counted from 0; all by default, with pictures of the first 256
  --json           print the manifest

Each map is drawn by its own largest value, which is written under it: black is 0. Where a map has negative values, 0 is
grey.
"""
COUNT = 4


@dataclass(frozen=True)
class Request:
    """What was asked for, checked as far as that needs no network."""

    run: str
    out: Path
    images: list[str]
    split: str | None
    count: int | None
    seed: int | None
    stages: list[str] | None
    channels: list[int] | None


def main(command: str, arguments: list[str]) -> int:
    if "-h" in arguments or "--help" in arguments:
        print(HELP, end="")
        return 0
    request = read(arguments)
    # From here on it computes: this import takes seconds.
    from convkit.cli.map_drawing import run

    manifest = run(request)
    if "--json" in arguments:
        print(json.dumps(manifest, indent=1, ensure_ascii=False))
        return 0
    for stage, about in manifest["stages"].items():
        print(f"{stage:<10} {len(about['channels'])} maps of {'×'.join(map(str, about['size']))}")
    print(f"maps: {request.out}")
    return 0


def read(arguments: list[str]) -> Request:
    """The command line; raises UserError for what it cannot mean."""
    parser = Parser(prog="maps", add_help=False, allow_abbrev=False)
    parser.add_argument("run", metavar="RUN")
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--images", nargs="+", metavar="FILE", default=[])
    parser.add_argument("--split", choices=["train", "val", "test"])
    parser.add_argument("--count", type=int)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--stage")
    parser.add_argument("--channels")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    chosen = given.images, given.split, given.count, given.seed
    return Request(given.run, given.out.expanduser(), *chosen, read_stages(given.stage), read_channels(given.channels))
