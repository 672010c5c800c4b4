"""``convkit``: the thin front. Nothing here, nor in what it imports to help or to list, imports torch."""

import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from typing import NamedTuple

from convkit.errors import UserError, did_you_mean


class Command(NamedTuple):
    """A command: the module whose ``main(command, arguments)`` runs it, and its line in the help."""

    module: str
    summary: str


COMMANDS = {
    "fit": Command("convkit.cli.training", "train a network from a config"),
    "check": Command("convkit.cli.check", "what a fit would do, and whether it could work, in seconds"),
    "validate": Command("convkit.cli.training", "error on the validation images"),
    "test": Command("convkit.cli.training", "error on the test images"),
    "predict": Command("convkit.cli.training", "write the class of every test image to a file"),
    "export": Command("convkit.cli.export", "write a run's network to one file, for deployment"),
    "explain": Command("convkit.cli.explain", "pictures of what a run's network looks at"),
    "maps": Command("convkit.cli.maps", "the feature maps of an image, and the first layer's filters"),
    "patches": Command("convkit.cli.patches", "the images that excite each feature map most"),
    "runs": Command("convkit.cli.runs", "a table of the runs under a folder"),
    "report": Command("convkit.cli.report", "one HTML page of one or several runs"),
    "inspect": Command("convkit.cli.inspect", "one row a layer: its shape, cost and receptive field"),
    "data": Command("convkit.cli.data", "what is in a data set, and a sheet of its images"),
    "dashboard": Command("convkit.cli.dashboard", "make a W&B workspace with the panels of a run"),
    "plugins": Command("convkit.cli.list_plugins", "list what is installed; write a plugin of your own, check one"),
}

HELP = """\
convkit trains convolutional networks from one config, and shows what they learned.

  convkit fit --config quickstart      train LeNet on scans of handwritten digits, in a minute
  convkit COMMAND --help               what a command takes

commands
{commands}

options
  --version  the version        --debug  show the traceback of an error
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 2 for a user's mistake, 130 and 143 after a signal."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    try:
        status = run(words)
        sys.stdout.flush()  # here, where a reader that has gone is no error
        return status
    except (UserError, PermissionError) as error:  # what may not be read or written is named in its message
        if debug:
            traceback.print_exc()
        print(f"convkit: error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of a pipe has gone, as with `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:
        from convkit.blame import blame

        if (whose := blame(error)) is None:
            raise
        if debug:
            traceback.print_exc()
        print(f"convkit: error: {whose}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("convkit: interrupted", file=sys.stderr)
        return 130


def run(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        width = max(map(len, COMMANDS))
        commands = "\n".join(f"  {name:<{width}}  {command.summary}" for name, command in COMMANDS.items())
        print(HELP.format(commands=commands), end="")
        return 0
    if words[0] == "--version":
        from convkit import __version__

        print(f"convkit {__version__}")
        return 0
    name, rest = words[0], words[1:]
    if name not in COMMANDS:
        raise UserError(f"unknown command {name!r}{did_you_mean(name, [*COMMANDS, '--help', '--version'])}")
    status: int = import_module(COMMANDS[name].module).main(name, rest)
    return status


if __name__ == "__main__":
    sys.exit(main())
