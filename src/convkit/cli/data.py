"""``convkit data``: what is in a data set, and a sheet of its images as a network gets them."""

import json
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from convkit import plugins
from convkit.cli.configs import find_config, read_config, shipped
from convkit.cli.names import Names, words
from convkit.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from convkit.cli.samples import Summary

HELP = """\
convkit data NAME… [--data.OPTION VALUE …] [--out FILE.png] [--json]

Counts by class and split, image shape, mean and deviation of one or several data sets; with --out, a sheet of their
images as a network gets them: augmented, with labels.

  NAME                      {datasets}
  --config CONFIG           or the data of a config
  --data.OPTION VALUE       an option of every data set named, as in fit: --data.root FOLDER, --data.augment.flip true
  --out FILE.png            draw the sheet
  --split NAME              of which images: train (the default), val or test
  --images N                how many (32)
  --json                    the figures as JSON

  convkit fit --data.help digits    the options of a data set
"""
OPTIONS = ("config", "images", "json", "out", "split")
SPLITS = ("train", "val", "test")
_LISTED = 30  # classes: of more, the least and the most frequent are told
_NAMED = 10  # files that cannot be read


class Request(NamedTuple):
    """Each data set's name, with the words for the parser that choose it; the options of all; and the command's own."""

    chosen: list[tuple[str, str]]
    options: list[str]
    out: Path | None
    split: str
    images: int
    as_json: bool


def main(command: str, arguments: list[str]) -> int:
    if "-h" in arguments or "--help" in arguments:
        datasets = textwrap.fill(", ".join(plugins.named("dataset")), 72).replace("\n", "\n" + 28 * " ")
        print(HELP.format(datasets=datasets), end="")
        return 0
    request = read(arguments)
    # From here on it computes: this import takes seconds.
    from convkit.cli.samples import draw, summarised

    found = [summarised(name, [word, *request.options]) for name, word in request.chosen]
    # Drawn first: where that fails, a table would look like success.
    if request.out:
        draw(found, request.split, request.images, request.out)
    if request.as_json:
        print(json.dumps([summary.as_dict() for summary in found], indent=1))
    else:
        print("\n\n".join(table(summary) for summary in found))
        if request.out:
            print(f"\nsheet: {request.out}")
    return 0


def read(arguments: list[str]) -> Request:
    """The command line; raises UserError for what it cannot mean."""
    names = Names()
    chosen: list[tuple[str, str]] = []
    own: dict[str, str] = {}
    options: list[str] = []
    for word in words([word for word in arguments if word != "--json"]):
        option, equals, value = word.partition("=")
        if not word.startswith("--"):
            chosen.append((word, f"--data={names.path('data', word)}"))
        elif option == "--config":
            chosen.append(_in_config(names, value))
        elif option.startswith("--data."):
            options.append(word)
        elif option.removeprefix("--") not in OPTIONS:
            near = did_you_mean(option, [f"--{name}" for name in OPTIONS])
            raise UserError(f"data has no option {option!r}{near}, or --data.OPTION for one of the data set's")
        elif not equals or not value:
            raise UserError(f"{option} needs a value")
        else:
            own[option.removeprefix("--")] = value
    if not chosen:
        raise UserError(f"data needs a NAME: {', '.join(plugins.named('dataset'))}")
    for plugin in names.chosen.values():
        plugins.load(plugin)  # for its own error message, before the parser would wrap it
    split = own.get("split", "train")
    if split not in SPLITS:
        raise UserError(f"--split is one of {', '.join(SPLITS)}, not {split!r}")
    images = own.get("images", "32")
    if not images.isdecimal() or not int(images):
        raise UserError(f"--images is a number of images, not {images!r}")
    return Request(chosen, options, _out(own.get("out")), split, int(images), "--json" in arguments)


def _in_config(names: Names, value: str) -> tuple[str, str]:
    path = find_config(value)
    data: Any = names.in_config(read_config(path), path in shipped().values()).get("data")
    if data is None:
        raise UserError(f"{path} names no data")
    return Path(path).stem, f"--data={data if isinstance(data, str) else json.dumps(data)}"


def _out(value: str | None) -> Path | None:
    """The file to draw; what is wrong with it is told before the work is done."""
    if value is None:
        return None
    path = Path(value).expanduser()
    if path.suffix.lower() != ".png":
        raise UserError(f"--out is a PNG file, such as {path.with_suffix('.png').name}, not {value}")
    if not path.parent.is_dir():
        raise UserError(f"there is no folder {path.parent} to write {path.name} into")
    return path


def table(summary: "Summary") -> str:
    """A data set as text."""
    shape = "×".join(map(str, summary.image_shape))
    mean, std = (" ".join(f"{value:.4f}" for value in values) for values in (summary.mean, summary.std))
    head = f"{summary.name}: {summary.classes} classes, {shape}, mean {mean}, deviation {std}"
    rows = [(name, [counts.get(split, 0) for split in SPLITS]) for name, counts in summary.counts.items()]
    if len(rows) > _LISTED:
        rows.sort(key=lambda row: -row[1][0])
        rows = [(f"most: {rows[0][0]}", rows[0][1]), (f"fewest: {rows[-1][0]}", rows[-1][1])]
    rows.append(("all", [sum(counts[split] for counts in summary.counts.values()) for split in SPLITS]))
    width = max(5, *(len(name) for name, _ in rows))
    lines = [f"{'class':<{width}}" + "".join(f"{split:>9}" for split in SPLITS)]
    lines += [f"{name:<{width}}" + "".join(f"{count:>9,}" for count in counts) for name, counts in rows]
    left_out = [f"left out: {path}: {reason}" for path, reason in list(summary.skipped.items())[:_NAMED]]
    if more := len(summary.skipped) - len(left_out):
        left_out.append(f"and {more:,} more")
    return "\n".join([head, *lines, *left_out])
