"""``convkit plugins``: what is installed, without importing any of it."""

import json

from convkit import plugins
from convkit.errors import UserError, did_you_mean

HELP = """\
convkit plugins [--json]

Lists every architecture, dataset, schedule and explainer that is installed: kind, short name, distribution, version
and target. Imports none of them. A short name works wherever a config or an option names a class:

  convkit fit --config quickstart --model.architecture resnet_cifar
  convkit fit --model.architecture.help resnet_cifar
"""
COLUMNS = ("kind", "name", "distribution", "version", "target")


def main(command: str, arguments: list[str]) -> int:
    if "-h" in arguments or "--help" in arguments:
        print(HELP, end="")
        return 0
    for word in arguments:
        if word != "--json":
            raise UserError(f"plugins has no option {word!r}{did_you_mean(word, ['--json', '--help'])}")
    rows = [plugin.as_dict() for plugin in plugins.installed()]
    if "--json" in arguments:
        print(json.dumps(rows, indent=1))
        return 0
    table = [{name: name for name in COLUMNS}, *rows]
    widths = {name: max(len(row[name]) for row in table) for name in COLUMNS}
    for row in table:
        print("  ".join(f"{row[name]:<{widths[name]}}" for name in COLUMNS).rstrip())
    return 0
