"""``convkit patches``: which images excite each feature map most, up to where torch is needed."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from convkit.cli.export import Parser
from convkit.errors import UserError, did_you_mean

HELP = """\
convkit patches RUN --out DIR [--stage NAME] [--channels 0,3,7] [--top 9] [--split val]
                [--projections] [--json]

For every feature map the images of a split that excite it most: the patch of each that the strongest unit sees, and
that unit projected to pixels by the deconvnet (Zeiler & Fergus 2014, figure 2). One pass over the images. A network
without ReLU has patches alone.

  RUN               a run (runs/NAME/N, runs/NAME/latest, runs/NAME) or a checkpoint file of one
  --out DIR         a new folder: STAGE-PAGE.png, projections to the left and patches to the right, sixteen maps a
                    page; patches.csv; filters.png, the first layer's
  --stage NAME      one or several, or patterns: conv5 or conv3,conv5 or 'conv*'; by default all that
                    have maps, but the head
  --channels LIST   of these feature maps, counted from 0; all by default, with pictures of the first 256
  --top K           how many images of each (9)
  --split NAME      train (without augmentation), val (the default) or test
  --projections     an error where a stage has none, in place of patches alone
  --json            print what is in patches.csv, and more, as JSON

patches.csv has a row for each map and rank: value, image (its place in the split), label, row and column of the unit,
and the box of the image that it sees, in pixels: top, left, bottom, right, the last two exclusive.
"""
SPLITS = ("train", "val", "test")
PICTURED = 256  # maps of a stage that get pictures where none are named


class Request(NamedTuple):
    """What was asked for, checked as far as that needs no network."""

    run: str
    out: Path
    stages: list[str] | None
    channels: list[int] | None
    top: int
    split: str
    projections: bool


def main(command: str, arguments: list[str]) -> int:
    if "-h" in arguments or "--help" in arguments:
        print(HELP, end="")
        return 0
    request = read(arguments)
    # From here on it computes: this import takes seconds.
    from convkit.cli.patch_search import run

    done = run(request)
    print(json.dumps(done, indent=1) if "--json" in arguments else told(done))
    return 0


def read(arguments: list[str]) -> Request:
    """The command line; raises UserError for what it cannot mean."""
    parser = Parser(prog="patches", add_help=False, allow_abbrev=False)
    parser.add_argument("run", metavar="RUN")
    parser.add_argument("--out", required=True)
    parser.add_argument("--stage")
    parser.add_argument("--channels")
    parser.add_argument("--top", default="9")
    parser.add_argument("--split", default="val")
    parser.add_argument("--projections", action="store_true")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    if given.split not in SPLITS:
        raise UserError(
            f"--split is one of {', '.join(SPLITS)}, not {given.split!r}{did_you_mean(given.split, SPLITS)}"
        )
    if not given.top.isdecimal() or not int(given.top):
        raise UserError(f"--top is a number of images from 1 on, not {given.top!r}")
    out = Path(given.out).expanduser()
    if out.exists():
        raise UserError(f"{out} is there already; give --out another folder")
    if not out.parent.is_dir():
        raise UserError(f"there is no folder {out.parent} to make {out.name} in")
    stages, channels = read_stages(given.stage), read_channels(given.channels)
    return Request(given.run, out, stages, channels, int(given.top), given.split, given.projections)


def read_stages(value: str | None) -> list[str] | None:
    """Names and patterns between commas; None where nothing was said."""
    return None if value is None else [name.strip() for name in value.split(",")]


def read_channels(value: str | None) -> list[int] | None:
    """Numbers between commas, each once, ascending.

    Raises:
        UserError: they are none.
    """
    if value is None:
        return None
    words = [word.strip() for word in value.split(",")]
    if not all(word.isdecimal() for word in words):
        raise UserError(f"--channels is a list of feature maps such as 0,3,7, not {value!r}")
    return sorted({int(word) for word in words})


def told(done: dict[str, Any]) -> str:
    """What was found, as text."""
    lines = [f"{done['split']}: {done['images']:,} images, {done['checkpoint']}"]
    for stage in done["stages"]:
        rows = stage["patches"]
        best = max(rows, key=lambda row: row["value"])
        silent = len({row["channel"] for row in rows} - {row["channel"] for row in rows if row["value"] > 0})
        sees = "×".join(map(str, stage["window"]))
        line = f"{stage['stage']:<10} {stage['maps']} maps, each unit sees {sees} pixels; "
        line += f"strongest {best['value']:.3g}, map {best['channel']} on image {best['image']}"
        lines.append(line + (f"; {silent} never active" if silent else ""))
        if not stage["projections"]:
            lines.append(f"{'':<10} patches alone: on its way to the pixels the deconvnet meets no ReLU")
        if len(stage["pictured"]) < len({row["channel"] for row in rows}):
            lines.append(f"{'':<10} pictures of the first {len(stage['pictured'])}; --channels gives others")
    return "\n".join([*lines, f"patches: {done['out']}"])
