"""What can be known of plugins without importing them."""

import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from convkit.errors import UserError
from convkit.plugins import Plugin, installed
from convkit.requirements import OURS, normalized, outdated, unmet


class OtherVersion(UserWarning):
    """A run was made with another version of a plugin than is installed."""


def marks(plugins: Iterable[Plugin]) -> dict[Plugin, str]:
    """What is to be said of each that has something, without importing any."""
    everything = list(plugins)
    offers: dict[tuple[str, str], set[str]] = {}
    for plugin in everything:
        offers.setdefault((plugin.kind, plugin.name), set()).add(plugin.distribution)
    found = {}
    told: dict[tuple[str, tuple[str, ...]], list[str]] = {}  # a distribution's requirements are read once
    for plugin in everything:
        others = sorted(offers[plugin.kind, plugin.name] - {plugin.distribution})
        said = [f"also of {', '.join(others)}: choose with {plugin.distribution}:{plugin.name}"] if others else []
        whose = plugin.distribution, plugin.extras
        if whose not in told:
            told[whose] = _of_requirements(plugin)
        said += told[whose]
        if not re.fullmatch(r"[\w.]+:[\w.]+", plugin.target):
            said.append("its target is no module:name")
        if said:
            found[plugin] = "; ".join(said)
    return found


def _of_requirements(plugin: Plugin) -> list[str]:
    if plugin.distribution == OURS:
        return []
    return [why for why in (asked(plugin.distribution, plugin.extras) for asked in (outdated, unmet)) if why]


def compare(recorded: Iterable[Mapping[str, Any]], where: object) -> None:
    """Warn (:class:`OtherVersion`) of a plugin of another version than a run or a checkpoint was made with.

    Raises:
        UserError: one is not installed.
    """
    for missing, line in changed(recorded):
        if missing:
            raise UserError(f"{where}: {line}")
        warnings.warn(f"{where}: {line}", OtherVersion, stacklevel=2)


def changed(recorded: Iterable[Mapping[str, Any]]) -> Iterator[tuple[bool, str]]:
    """What a run was made with and is otherwise here: whether it is missing, and a line.

    Args:
        recorded: of each plugin that a run used ``kind``, ``name``, ``distribution``, ``version`` and ``path``.
    """
    told = set()
    for one in recorded:
        distribution, made = str(one.get("distribution", "")), str(one.get("version", ""))
        if not distribution or distribution == OURS or distribution in told:
            continue
        told.add(distribution)
        here = {plugin.version for plugin in installed() if normalized(plugin.distribution) == normalized(distribution)}
        try:
            here = here or {version(distribution)}
        except PackageNotFoundError:
            # Runs of the first days have "architectures".
            what = f"{str(one.get('kind')).removesuffix('s')} {one.get('name')!r} of {distribution} {made}"
            yield True, f"it was made with the {what}, which is not installed; pip install '{distribution}=={made}'"
            continue
        if made not in here:
            yield False, f"it was made with {distribution} {made}, and {', '.join(sorted(here))} is installed"
