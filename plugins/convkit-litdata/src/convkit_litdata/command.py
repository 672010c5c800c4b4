"""``convkit-litdata``: convert a folder of images, or make ready what litdata has written."""

import argparse
import sys
import time
from pathlib import Path

from convkit import UserError


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 2 after a mistake of the user's, in one line."""
    given = _parser().parse_args(arguments)
    try:
        return _run(given)
    except (UserError, ValueError, OSError) as error:  # the last one of a disk that is full, or read only
        print(f"convkit-litdata: {error}", file=sys.stderr)
        return 2


def _run(given: argparse.Namespace) -> int:
    # From here on it computes: these imports take seconds.
    from convkit.datasets.decoded_cache import parse_size
    from convkit_litdata.convert import convert, index

    began = time.perf_counter()
    if given.command == "convert":
        place = given.out
        parts = convert(given.folder.expanduser(), place.expanduser(), parse_size(given.chunk), given.seed)
    else:
        place = given.folder
        parts = index(place.expanduser(), given.classes.split(",") if given.classes else None)
    for part in parts:
        done = "written and read back" if given.command == "convert" else "read"
        chunks = f"{part.chunks} chunk{'s' if part.chunks != 1 else ''}"
        print(f"{part.part}: {part.images:,} images in {chunks}, {part.bytes / 1e6:,.1f} MB, {done}")
    print(f"{time.perf_counter() - began:.1f} s; convkit fit --data litdata --data.root {place}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="convkit-litdata", description="Images in litdata's format, for convkit.")
    commands = parser.add_subparsers(dest="command", required=True)
    convert = commands.add_parser("convert", help="a folder of images, FOLDER/{train,val,test}/CLASS or FOLDER/CLASS")
    convert.add_argument("folder", metavar="FOLDER", type=Path)
    convert.add_argument("out", metavar="OUT", type=Path, help="must not be there, or be empty")
    convert.add_argument("--chunk", metavar="SIZE", default="64MB", help="of a chunk at most (64MB)")
    convert.add_argument("--seed", metavar="N", type=int, default=0, help="of the order of the images (0)")
    index = commands.add_parser("index", help="a data set of litdata's own, whose samples are image and label")
    index.add_argument("folder", metavar="FOLDER", type=Path)
    index.add_argument("--classes", metavar="A,B,…", help="the classes' names, in the order of the labels")
    return parser


if __name__ == "__main__":
    sys.exit(main())
