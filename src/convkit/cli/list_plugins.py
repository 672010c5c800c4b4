"""``convkit plugins``: what is installed, without importing any of it; and the way to its sub-commands."""

import json
import secrets
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module

from convkit import plugins
from convkit.errors import UserError, did_you_mean
from convkit.plugin_health import marks
from convkit.requirements import OURS, outdated

HELP = """\
convkit plugins [--json] [--verify]
convkit plugins new DIR --kind architecture|dataset|schedule|explainer [--name NAME]
convkit plugins check NAME [--kind KIND] [--option NAME=VALUE …] [--json]

Lists every architecture, dataset, schedule and explainer that is installed: kind, short name, distribution, version
and target, and what is wrong with it as far as its metadata tells. Imports none of them. A short name works wherever a
config or an option names a class:

  convkit fit --config quickstart --model.architecture resnet_cifar
  convkit fit --model.architecture.help resnet_cifar

  new       write a small plugin of your own, with its test
  check     try whether a plugin keeps the contract of its kind
  --verify  import each in a process of its own, for a minute at most, and say which cannot be:
            then the exit status is 1
"""
COLUMNS = ("kind", "name", "distribution", "version", "target", "note")
SUBCOMMANDS = {"new": "convkit.cli.plugin_new", "check": "convkit.cli.plugin_check"}
PATIENCE = 60  # seconds for an import
# The token goes to the file descriptor: a plugin that ends the process, with whatever status, leaves none.
IMPORT = """
import json, os, sys
from convkit import plugins
from convkit.errors import UserError
token, *words = sys.argv[1:]
plugins.FIRST = ()  # nobody is told how long it takes
for word in words:
    plugin = plugins.Plugin(**json.loads(word))
    try:
        plugins.load(plugin)
    except UserError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(f"{plugin} cannot be loaded: KeyboardInterrupt; repair or uninstall {plugin.distribution}")
os.write(1, token.encode())
"""


def main(command: str, arguments: list[str]) -> int:
    if arguments and arguments[0] in SUBCOMMANDS:
        name, *rest = arguments
        status: int = import_module(SUBCOMMANDS[name]).main(f"{command} {name}", rest)
        return status
    if "-h" in arguments or "--help" in arguments:
        print(HELP, end="")
        return 0
    for word in arguments:
        if word not in ("--json", "--verify"):
            choices = ["--json", "--verify", "--help", *SUBCOMMANDS]
            raise UserError(f"plugins has no option {word!r}{did_you_mean(word, choices)}")
    found = plugins.installed()
    notes = marks(found)
    broken = _broken(found) if "--verify" in arguments else {}
    for plugin, why in broken.items():
        notes[plugin] = "; ".join(filter(None, (notes.get(plugin), why)))
    rows = [{**plugin.as_dict(), "note": notes.get(plugin, "")} for plugin in found]
    for each in plugins.unreadable():
        rows.append(
            {
                **dict.fromkeys(COLUMNS, "?"),
                "distribution": each.distribution,
                "version": each.version,
                "note": each.wrong,
            }
        )
    print(json.dumps(rows, indent=1) if "--json" in arguments else _table(rows))
    return 1 if broken or ("--verify" in arguments and plugins.unreadable()) else 0


def _table(rows: list[dict[str, str]]) -> str:
    shown = COLUMNS if any(row["note"] for row in rows) else COLUMNS[:-1]
    table = [{name: name for name in shown}, *rows]
    widths = {name: max(len(row[name]) for row in table) for name in shown}
    return "\n".join("  ".join(f"{row[name]:<{widths[name]}}" for name in shown).rstrip() for row in table)


def _broken(found: Sequence[plugins.Plugin]) -> dict[plugins.Plugin, str]:
    """Why each that cannot be loaded cannot: convkit's own in one process, each of a stranger's in its own.

    Empty of one for another convkit, which the notes have told.
    """
    old = [plugin for plugin in found if outdated(plugin.distribution, plugin.extras)]
    own = [plugin for plugin in found if plugin.distribution == OURS]
    jobs = [own] if own else []
    jobs += [[plugin] for plugin in found if plugin.distribution != OURS and plugin not in old]
    with ThreadPoolExecutor(max_workers=2) as pool:
        results = pool.map(_imported, jobs)
    failed = {job[0]: why for job, why in zip(jobs, results, strict=True) if why}
    return {**dict.fromkeys(old, ""), **failed}


def _imported(job: list[plugins.Plugin]) -> str:
    """Why the first of them that cannot be loaded cannot; empty where all can."""
    token = secrets.token_hex(8)
    words = [json.dumps({**plugin.as_dict(), "extras": plugin.extras}) for plugin in job]
    try:
        done = subprocess.run(
            [sys.executable, "-c", IMPORT, token, *words], capture_output=True, timeout=PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        return f"its import had not ended after {PATIENCE} s"
    if token.encode() in done.stdout:
        return ""
    text = done.stderr.decode(errors="replace")
    lines = [line for line in text.splitlines() if line and not line.startswith("still importing")]
    if done.returncode == 1 and lines:
        return lines[-1].removeprefix(f"{job[0]} ")
    return f"its import ended the process, with status {done.returncode}"
