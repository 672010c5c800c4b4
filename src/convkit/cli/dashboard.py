"""``convkit dashboard``: a W&B workspace with the panels of convkit's runs."""

import csv
import json

from convkit.cli.export import Parser
from convkit.errors import UserError
from convkit.run_directory import locate
from convkit.tracking.dashboard import STAGES, definition, workspace

HELP = """\
convkit dashboard --entity ENTITY --project PROJECT [--run RUN] [--print] [--json]

Makes a workspace in Weights & Biases that shows the runs of a project: errors, loss and rates, speed and gradients,
mistakes, features by epoch, and what differs between runs. Needs an account, and the extra: pip install
'convkit[dashboard]'.

  --entity ENTITY    the user or the team that has the project
  --project PROJECT  as in convkit fit --wandb_project (convkit)
  --run RUN          one of the runs: the features shown are those of its network's stages
  --stages NAMES     or those of these stages ({stages})
  --print            the definition as it would be sent, in short; needs no server, account or extra
  --json             the same as JSON
"""
EXTRA = "convkit dashboard needs the extra dashboard: pip install 'convkit[dashboard]' (--print does without)"


def main(command: str, arguments: list[str]) -> int:
    if "-h" in arguments or "--help" in arguments:
        print(HELP.format(stages=",".join(STAGES)), end="")
        return 0
    parser = Parser(prog=command, add_help=False, allow_abbrev=False)
    parser.add_argument("--entity", required=True)
    parser.add_argument("--project", default="convkit")
    whose = parser.add_mutually_exclusive_group()
    whose.add_argument("--run")
    whose.add_argument("--stages", default=",".join(STAGES))
    parser.add_argument("--print", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    stages = stages_of(options.run) if options.run else [name.strip() for name in options.stages.split(",")]
    stages = [name for name in stages if name]
    if options.print or options.json:
        found = definition(options.entity, options.project, stages)
        print(json.dumps(found, indent=1) if options.json else text(found))
        return 0
    print(made(options.entity, options.project, stages))
    return 0


def stages_of(run: str) -> list[str]:
    """The stages whose features a run has recorded; else those of its network that FeatureEvolution would.

    Raises:
        UserError: there is no such run, or its network cannot be built here.
    """
    directory, _ = locate(run)
    try:
        with (directory / "evolution" / "settling.csv").open(newline="", encoding="utf-8") as file:
            if recorded := list(dict.fromkeys(row["stage"] for row in csv.DictReader(file))):
                return recorded
    except (OSError, ValueError, KeyError, csv.Error):
        pass
    from convkit.projections import projectable  # takes seconds
    from convkit.run import Run, build

    model, data = build(Run(directory).config)
    return [*projectable(model.net, data.image_shape, None, "--run")]


def text(found: dict) -> str:  # type: ignore[type-arg]
    """One line a panel."""
    lines = [f"workspace {found['name']!r} of {found['entity']}/{found['project']}"]
    for name, panels in found["sections"].items():
        lines += ["", name]
        lines += [
            f"  {panel['kind']:<12}{panel['title']:<34}{' '.join(panel['keys'])}".rstrip()
            + (", logarithmic" if panel["log"] else "")
            for panel in panels
        ]
    return "\n".join(lines)


def made(entity: str, project: str, stages: list[str]) -> str:
    """Send it; the address it has then.

    Raises:
        UserError: the extra is missing, or W&B refuses.
    """
    try:
        found = workspace(entity, project, stages)
    except ImportError as error:
        raise UserError(EXTRA) from error
    try:
        found.save()
        return f"workspace: {found.url}"
    except Exception as error:  # of the client, of the network, of the server: it has dozens
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"W&B did not take the workspace for {entity}/{project}: {reason}; is `wandb login` done?"
        ) from error
