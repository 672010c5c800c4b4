"""``convkit report``: one HTML page of one or several runs, up to where torch is needed."""

from pathlib import Path
from typing import NamedTuple

from convkit.cli.export import Parser
from convkit.errors import UserError
from convkit.run_directory import locate

HELP = """\
convkit report RUN [RUN …] --out FILE.html [--explain METHOD …] [--patches STAGE,…] [--split val] [--files_only]

One page that holds all it shows and asks nothing of a network: curves with the drops of the rate, when each stage
settles, features as they form (of a fit with FeatureEvolution), which classes are confused with the images behind each
number, explanations, top patches, layers and the configuration. Of several runs: their results, with mean and standard
deviation over seeds, what their configurations differ in, and the curves of all in one.

  RUN …              runs (runs/NAME/N, runs/NAME/latest, runs/NAME)
  --out FILE.html    the page; one that is there is replaced where it is such a page, and left alone otherwise
  --explain METHOD   an explainer, or several (grad_cam, unless convkit explain has left a folder in the run); none
  --patches STAGE    whose top patches are shown; several, or patterns: conv1,conv3 (the last with feature maps, unless
                     convkit patches has left a folder in the run); none
  --split NAME       of the images that these two look at: val (default) or test
  --files_only       show what the runs' files hold, in a second: no network is built and no image looked at
"""


class Request(NamedTuple):
    """What was asked for."""

    runs: list[Path]
    out: Path
    explain: list[str] | None  # None: the usual one, where the run holds none
    patches: str | None  # None: the last; "none": none
    split: str
    files_only: bool


def main(command: str, arguments: list[str]) -> int:
    if "-h" in arguments or "--help" in arguments:
        print(HELP, end="")
        return 0
    request = read(command, arguments)
    # From here on it draws.
    from convkit.cli.report_page import run

    return run(request)


def read(command: str, arguments: list[str]) -> Request:
    """The command line; raises UserError for what it cannot mean."""
    parser = Parser(prog=command, add_help=False, allow_abbrev=False)
    parser.add_argument("runs", metavar="RUN", nargs="+")
    parser.add_argument("--out", required=True, metavar="FILE.html", type=Path)
    parser.add_argument("--explain", nargs="+", metavar="METHOD")
    parser.add_argument("--patches", metavar="STAGE")
    parser.add_argument("--split", choices=["val", "test"], default="val")
    parser.add_argument("--files_only", action="store_true")
    given = parser.parse_args(arguments)
    runs = list(dict.fromkeys(locate(path)[0] for path in given.runs))
    if given.out.suffix not in (".html", ".htm"):
        raise UserError(f"--out is an HTML file, not {given.out}; give a name that ends with .html")
    if not given.out.parent.is_dir():
        raise UserError(f"there is no folder {given.out.parent} for --out")
    if given.out.exists() and not _is_ours(given.out):
        raise UserError(f"{given.out} is there and was not written by convkit report; give another --out")
    explain = [] if given.explain == ["none"] else given.explain
    return Request(runs, given.out, explain, given.patches, given.split, given.files_only)


def _is_ours(file: Path) -> bool:
    if not file.is_file():
        return False
    with file.open(encoding="utf-8", errors="replace") as page:
        return '<meta name="generator" content="convkit report">' in page.read(4096)
