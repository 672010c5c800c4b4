"""``convkit check``: what a fit would do and whether it could work, up to where torch is needed."""

from convkit.cli.training import read

HELP = """\
convkit check --config CONFIG [any option of fit …] [--json]

Builds everything that convkit fit would build from the same options, takes one step on a few images, and tells in
seconds what a run would do. Nothing is trained and nothing written.

  network       parameters, classes, the image that it gets
  data, steps   images and batches of each split, steps of an epoch and of the whole run, how often it is validated
  groups        of parameters: learning rate, weight decay, and whether they learn from the start, later (Freezing's
                thaw) or never
  unused        parameters that learn, and that the loss does not depend on
  rate          the learning rate over the whole run, drawn
  memory        an estimate of what a step of training holds on one device

  --config CONFIG   as for fit, and so is every other option: convkit fit --help
  --json            one object, for a program to read

Exit status 2, and a line for each reason, where the run could not work: a monitor that nothing logs, a rate for what is
frozen for ever, nothing that learns, an image that is too small, weights that do not fit, more ranks than images.

  convkit check --config quickstart --trainer.max_epochs 5
"""


def main(command: str, arguments: list[str]) -> int:
    if "-h" in arguments or "--help" in arguments:
        print(HELP, end="")
        return 0
    request = read("fit", [word for word in arguments if word != "--json"])
    # From here on it computes: this import takes seconds.
    from convkit.cli.check_building import run

    return run(request, "--json" in arguments)
