"""``convkit export``: the network of a run in one file, for deployment."""

import argparse
import json
from pathlib import Path
from typing import NoReturn

from convkit.errors import UserError, did_you_mean

FORMATS = {"state_dict": ".pt", "program": ".pt2"}
HELP = """\
convkit export RUN [--out FILE] [--format FORMAT] [--checkpoint WHICH] [--json]

Writes the network of a run, without its auxiliary heads, to one file. The file is read back and its logits compared
with the run's before it gets its name; a file that is there already is never overwritten.

  RUN                  a run (runs/NAME/N, runs/NAME/latest, runs/NAME) or a checkpoint file of one
  --out FILE           RUN/network.pt or RUN/network.pt2 by default
  --format state_dict  (default) tensors and plain values, for a program that has convkit:
                         file = torch.load(FILE, weights_only=True)
                         net.drop_aux(); net.load_state_dict(file["state_dict"])
  --format program     torch.export's: needs torch alone, and takes images from 0 to 1, N×C×H×W for any N:
                         logits = torch.export.load(FILE).module()(images)
  --checkpoint WHICH   best (default), last, or a checkpoint file
  --json               print path, format, parameters, max_abs_difference and checkpoint

Both keep class_names, image_shape, mean, std, the architecture's path and arguments, epoch and step: file["convkit"] in
a state_dict; in a program the archive's convkit.json (extra_files={"convkit.json": ""} of torch.export.load).
"""


class Parser(argparse.ArgumentParser):
    """Mistakes in one line."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{self.prog}: {message}; see convkit {self.prog} --help")


def main(command: str, arguments: list[str]) -> int:
    if "-h" in arguments or "--help" in arguments:
        print(HELP, end="")
        return 0
    parser = Parser(prog=command, add_help=False, allow_abbrev=False)
    parser.add_argument("run", metavar="RUN")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--format", default="state_dict")
    parser.add_argument("--checkpoint")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    if options.format not in FORMATS:
        raise UserError(f"export: there is no format {options.format!r}{did_you_mean(options.format, FORMATS)}")
    # From here on it computes: this import takes seconds.
    from convkit.deployment import export
    from convkit.run import Run
    from convkit.run_directory import CHECKPOINTS, find_checkpoint

    run = Run.open(options.run)
    if options.checkpoint:
        own = run.directory / CHECKPOINTS / f"{options.checkpoint}.ckpt"
        file = str(own) if options.checkpoint in ("best", "last") else options.checkpoint
        run = Run(run.directory, find_checkpoint(file, run.directory, None))
    out = options.out.expanduser() if options.out else run.directory / f"network{FORMATS[options.format]}"
    done = export(run, options.format, out)
    if options.json:
        row = {**done._asdict(), "path": str(done.path), "checkpoint": str(run.checkpoint)}
        print(json.dumps(row, indent=1))
    else:
        print(f"exported: {done.path} ({done.format}, {done.parameters:,} parameters, from {run.checkpoint.name})")
        print(f"checked:  its logits are within {done.max_abs_difference:.2g} of the network's")
    return 0
