"""``convkit plugins check``: the contract suite of a plugin's kind, up to where torch is needed."""

import json
from typing import Any

import yaml

from convkit import plugins
from convkit.cli.export import Parser
from convkit.errors import UserError, did_you_mean
from convkit.plugins import Plugin
from convkit.requirements import article

HELP = """\
convkit plugins check NAME [--kind KIND] [--option NAME=VALUE …] [--image_shape C,H,W] [--ranks N]
                           [--json]

Tries whether a plugin keeps the contract of its kind, clause by clause: docs/plugins.md has them. A clause that does
not hold is a line that says what is wrong and what to do. The exit status is 1 where one fails or cannot be judged.

  NAME                 a short name, or distribution:name
  --kind KIND          architecture, dataset, schedule or explainer, where several have that name
  --option NAME=VALUE  an option of the plugin's own, such as root=DIR of a data set
  --image_shape C,H,W  of an architecture; by default the first of some usual ones that it takes
  --ranks N            processes of the clause about several ranks (2); 1 leaves it out
  --json               the clauses as JSON
"""


def main(command: str, arguments: list[str]) -> int:
    if "-h" in arguments or "--help" in arguments:
        print(HELP, end="")
        return 0
    parser = Parser(prog=command, add_help=False, allow_abbrev=False)
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("--kind", choices=list(plugins.GROUPS))
    parser.add_argument("--option", nargs="+", default=[], action="extend", metavar="NAME=VALUE")
    parser.add_argument("--image_shape", type=_image_shape, metavar="C,H,W")
    parser.add_argument("--ranks", type=int, default=2, metavar="N")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    plugin = _named(given.name, given.kind)
    options = _options(given.option)
    target = plugins.load(plugin)
    # From here on it computes: this import takes seconds.
    from convkit.cli.plugin_trial import outcomes

    found = outcomes(plugin, target, options, given.ranks, given.image_shape)
    failed = [outcome for outcome in found if outcome.held is False]
    unknown = [outcome.clause for outcome in found if outcome.held is None]
    status = 1 if failed or unknown else 0
    if given.json:
        holds = False if failed else None if unknown else True
        clauses = [outcome._asdict() for outcome in found]
        print(json.dumps({**plugin.as_dict(), "holds": holds, "clauses": clauses}, indent=1, ensure_ascii=False))
        return status
    print(plugin)
    width = max(len(outcome.clause) for outcome in found)
    for outcome in found:
        verdict = {True: "holds", False: "FAILS", None: "left out"}[outcome.held]
        print(f"  {outcome.clause:<{width}}  {verdict:<8}  {outcome.said}".rstrip())
    if failed:
        print(f"{len(failed)} of {len(found)} clauses fail")
    else:
        print(f"not judged: {', '.join(unknown)}, and what comes after" if unknown else "no clause fails")
    return status


def _image_shape(text: str) -> tuple[int, int, int]:
    channels, height, width = (int(part) for part in text.split(","))
    return channels, height, width


def _named(name: str, kind: str | None) -> Plugin:
    if kind:
        return plugins.find(kind, name)
    short = name.rpartition(":")[2]
    kinds = [each for each in plugins.GROUPS if short in plugins.named(each)]
    if not kinds:
        known = sorted({plugin.name for plugin in plugins.installed()})
        raise UserError(f"there is no plugin {name!r}{did_you_mean(name, known)}")
    if len(kinds) > 1:
        raise UserError(f"{name!r} is {' and '.join(map(article, kinds))}; choose with --kind")
    return plugins.find(kinds[0], name)


def _options(words: list[str]) -> dict[str, Any]:
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise UserError(f"--option wants NAME=VALUE, not {word!r}")
        found[name] = yaml.safe_load(value)
    return found
