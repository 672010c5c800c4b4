"""``convkit plugins``: what is installed, without importing any of it; and the way to its sub-commands."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module

from convkit import plugins
from convkit.errors import UserError, did_you_mean
from convkit.plugin_health import marks

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
  --verify  import each in a process of its own, for a minute at most, and say which cannot be
"""
COLUMNS = ("kind", "name", "distribution", "version", "target", "note")
SUBCOMMANDS = {"new": "convkit.cli.plugin_new", "check": "convkit.cli.plugin_check"}
PATIENCE = 60  # seconds for an import
IMPORT = """
import sys
from convkit import plugins
from convkit.errors import UserError
for word in sys.argv[1:]:
    kind, distribution, name = word.split("|")
    wanted = (kind, distribution, name)
    try:
        plugins.load(next(one for one in plugins.installed() if (one.kind, one.distribution, one.name) == wanted))
    except UserError as error:
        sys.exit(str(error))
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
    if "--verify" in arguments:
        for plugin, why in _broken(found).items():
            notes[plugin] = "; ".join(filter(None, (notes.get(plugin), why)))
    rows = [{**plugin.as_dict(), "note": notes.get(plugin, "")} for plugin in found]
    if "--json" in arguments:
        print(json.dumps(rows, indent=1))
        return 0
    shown = COLUMNS if any(row["note"] for row in rows) else COLUMNS[:-1]
    table = [{name: name for name in shown}, *rows]
    widths = {name: max(len(row[name]) for row in table) for name in shown}
    for row in table:
        print("  ".join(f"{row[name]:<{widths[name]}}" for name in shown).rstrip())
    return 0


def _broken(found: tuple[plugins.Plugin, ...]) -> dict[plugins.Plugin, str]:
    """Why each that cannot be imported cannot: convkit's own in one process, each of a stranger's in its own."""
    own = [plugin for plugin in found if plugin.distribution == "convkit"]
    jobs = [own] if own else []
    jobs += [[plugin] for plugin in found if plugin.distribution != "convkit"]
    with ThreadPoolExecutor(max_workers=2) as pool:
        results = pool.map(_imported, jobs)
    return {job[0]: why for job, why in zip(jobs, results, strict=True) if why}


def _imported(job: list[plugins.Plugin]) -> str:
    words = ["|".join((plugin.kind, plugin.distribution, plugin.name)) for plugin in job]
    try:
        done = subprocess.run(
            [sys.executable, "-c", IMPORT, *words], capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        return f"its import had not ended after {PATIENCE} s"
    lines = [line for line in done.stderr.splitlines() if not line.startswith("still importing")]
    return "" if done.returncode == 0 else lines[-1] if lines else f"its import ended with status {done.returncode}"
