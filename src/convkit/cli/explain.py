"""``convkit explain``: what a trained network looks at, up to where torch is needed."""

import inspect
import textwrap
from itertools import pairwise
from pathlib import Path

from convkit import plugins
from convkit.cli.explain_request import Request
from convkit.cli.export import Parser
from convkit.errors import UserError

HELP = """\
convkit explain RUN --method NAME --out DIR [--images FILE … | --split NAME --count N --seed N]
                [--target CLASS] [--stage NAME] [--unit N] [--option NAME=VALUE …] [--sanity] [--json]

Writes for each image the map as it is and over the image, all of them on one sheet, the numbers as maps.npz, and
manifest.json, which says what was computed.

  RUN                  a run (runs/NAME/N, runs/NAME/latest, runs/NAME) or a checkpoint file of one
  --method NAME        {methods}
  --out DIR            must not be there, or be empty
  --images FILE …      image files, of the size that the network takes; photographs are cropped as in evaluation
  --split NAME         or images of the run's data: train, val (default) or test
  --count N            so many (16), as many of each class as of any other
  --seed N             which ones (0)
  --target CLASS       predicted (default), label, or a class by name or number
  --stage NAME         the stage whose maps Grad-CAM adds up (the last that has some), or that the unit is one of
  --unit N             explain a feature map of that stage, at its strongest place, in place of a class
  --option NAME=VALUE  an option of the method's own
  --sanity             beside each map that of the network with randomised weights; one that stays the same is labelled
  --json               print the manifest

  convkit explain --method class_image --help    the options of a method
"""


def main(command: str, arguments: list[str]) -> int:
    if "-h" in arguments or "--help" in arguments:
        _help(arguments)
        return 0
    request = read(command, arguments)
    # From here on it computes: this import takes seconds.
    from convkit.cli.explaining import run

    return run(request)


def read(command: str, arguments: list[str]) -> Request:
    """The command line; raises UserError for what it cannot mean."""
    parser = Parser(prog=command, add_help=False, allow_abbrev=False)
    parser.add_argument("run", metavar="RUN")
    parser.add_argument("--method", required=True, metavar="NAME")
    parser.add_argument("--out", required=True, metavar="DIR", type=Path)
    parser.add_argument("--images", nargs="+", metavar="FILE", default=[])
    parser.add_argument("--split", choices=["train", "val", "test"])
    parser.add_argument("--count", type=int, metavar="N")
    parser.add_argument("--seed", type=int, metavar="N")
    parser.add_argument("--target", metavar="CLASS")
    parser.add_argument("--stage", metavar="NAME")
    parser.add_argument("--unit", type=int, metavar="N")
    parser.add_argument("--option", nargs="+", action="extend", metavar="NAME=VALUE", default=[])
    parser.add_argument("--sanity", action="store_true")
    parser.add_argument("--json", action="store_true")
    given = vars(parser.parse_args(arguments))
    plugins.meant("explainer", given["method"])
    if given["count"] is not None and given["count"] < 1:
        raise UserError(f"--count is a number of images, not {given['count']}")
    options = {}
    for word in given.pop("option"):
        name, equals, value = word.partition("=")
        if not equals or not value:
            raise UserError(f"--option is NAME=VALUE, such as steps=200, not {word}")
        options[name] = value
    return Request(**{**given, "out": given["out"].expanduser(), "options": options})


def _help(arguments: list[str]) -> None:
    """The command's, or that of the method it names."""
    names = [after for word, after in pairwise(arguments) if word == "--method"]
    if not names or names[0].startswith("-"):
        indent = "\n" + 23 * " "
        print(HELP.format(methods=indent.join(textwrap.wrap(", ".join(plugins.named("explainer")), 90))), end="")
        return
    plugin = plugins.meant("explainer", names[0])
    function = plugins.load(plugin)
    from convkit.targets import refuse_other  # which needs torch, as the function does

    refuse_other(plugin, function)
    options = list(inspect.signature(function).parameters.values())[3:]
    print(f"{names[0]}: {inspect.getdoc(function)}\n")
    for option in options:
        way = {"of": "--stage NAME --unit N", "stage": "--stage NAME"}.get(
            option.name, f"--option {option.name}={option.default}"
        )
        print(f"  {way}")
