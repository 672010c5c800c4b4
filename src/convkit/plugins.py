"""Entry points to names and dotted paths. Nothing here imports a plugin, except :func:`load`.

A plugin is an entry point in one of four groups. Its value, ``module:attr``, *is* a dotted path, so a short name in a
config can be replaced by its path before anything is imported.
"""

import sys
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution
from typing import Any

from convkit.distributions import Offered, offered
from convkit.errors import UserError, did_you_mean
from convkit.requirements import OURS, missing, normalized, outdated

PATIENCE = 10.0  # seconds of an import, after which it is told whose it is
# Everybody's, and slow: whoever is imported next is not to blame for them.
FIRST: tuple[str, ...] = ("torch", "lightning.pytorch")
GROUPS = {
    "architecture": "convkit.architectures",
    "dataset": "convkit.datasets",
    "schedule": "convkit.schedules",
    "explainer": "convkit.explainers",
}


@dataclass(frozen=True, slots=True)
class Plugin:
    """One entry point: what it is called, who brought it, where it lies."""

    kind: str
    name: str
    distribution: str
    version: str
    target: str  # "module:attr", as in the entry point
    extras: tuple[str, ...] = ()  # of its distribution, that the entry point needs

    @property
    def path(self) -> str:
        """The dotted path, ``module.attr``."""
        return self.target.replace(":", ".")

    def __str__(self) -> str:
        return f"{self.kind} {self.name!r} of {self.distribution} {self.version} ({self.target})"

    def as_dict(self) -> dict[str, str]:
        return {name: getattr(self, name) for name in ("kind", "name", "distribution", "version", "target")}


@cache
def installed() -> tuple[Plugin, ...]:
    """Every plugin of every kind, sorted by kind and name; imports none of them."""
    kinds = {group: kind for kind, group in GROUPS.items()}
    found = []
    _unreadable.clear()
    for each in offered(frozenset(kinds)):  # one walk over the distributions for all groups
        if each.wrong:
            _unreadable.append(each)
        for entry in each.entries:
            # An extra in brackets is not part of the path.
            target, _, extras = entry.value.replace(" ", "").rstrip("]").partition("[")
            named = tuple(filter(None, extras.split(",")))
            found.append(Plugin(kinds[entry.group], entry.name, each.distribution, each.version, target, named))
    order = list(GROUPS)
    return tuple(sorted(found, key=lambda plugin: (order.index(plugin.kind), plugin.name, plugin.distribution)))


_unreadable: list[Offered] = []  # what installed() met on its walk


def unreadable() -> tuple[Offered, ...]:
    """The distributions whose entry points cannot be read, and why."""
    installed()
    return tuple(_unreadable)


def named(kind: str, plugins: Iterable[Plugin] | None = None) -> dict[str, list[Plugin]]:
    """The plugins of a kind by short name; more than one where distributions collide."""
    names: dict[str, list[Plugin]] = {}
    for plugin in installed() if plugins is None else plugins:
        if plugin.kind == kind:
            names.setdefault(plugin.name, []).append(plugin)
    return names


def find(kind: str, name: str) -> Plugin:
    """The plugin that a short name or ``distribution:name`` stands for.

    Raises:
        UserError: no such name (with the nearest one), or two distributions offer it (naming both).
    """
    names = named(kind)
    distribution, _, short = name.rpartition(":")
    candidates = names.get(short, [])
    if distribution:
        groups = [candidates] if candidates else names.values()
        choices = [f"{plugin.distribution}:{plugin.name}" for group in groups for plugin in group]
        candidates = [plugin for plugin in candidates if normalized(plugin.distribution) == normalized(distribution)]
    else:
        choices = list(names)
    if not candidates:
        other = next((plugin.kind for plugin in installed() if plugin.name == name), None)
        aside = f", which names another kind of plugin ({other})" if other else ""
        raise UserError(f"unknown {kind} {name!r}{aside}{did_you_mean(name, choices)}")
    if len({plugin.target for plugin in candidates}) > 1:
        offers = " and ".join(f"{plugin.distribution} {plugin.version}" for plugin in candidates)
        ways = " or ".join(f"{plugin.distribution}:{plugin.name}" for plugin in candidates)
        raise UserError(f"{kind} {name!r} is offered by {offers}; choose with {ways}")
    return candidates[0]


def at(kind: str, path: str) -> Plugin:
    """The plugin that a dotted path belongs to; a path that no distribution names stands for itself."""
    known = (plugin for plugin in installed() if plugin.kind == kind and plugin.path == path)
    return next(known, Plugin(kind, path, "", "", path))


def meant(kind: str, name: str) -> Plugin:
    """The plugin of a short name, of ``distribution:name`` or of a dotted path; raises as :func:`find` does."""
    return at(kind, name) if "." in name and ":" not in name else find(kind, name)


def behind(kind: str, path: str) -> Plugin:
    """The plugin of a dotted path that may be another one than its entry point names: where its target comes from.

    ``renet:Net`` may have been defined in ``_renet_impl.net``. By the object where both have been imported, else by
    whose file it is. Imports nothing.
    """
    if (exact := at(kind, path)).distribution:
        return exact
    value = _imported(path)
    own = [plugin for plugin in installed() if plugin.kind == kind]
    same = [plugin for plugin in own if value is not None and _imported(plugin.target) is value]
    if same:
        return same[0]
    top = path.partition(".")[0]
    owners = [plugin for plugin in own if plugin.distribution != OURS and _brings(plugin.distribution, top)]
    last = path.rpartition(".")[2]
    return next((one for one in owners if one.path.rpartition(".")[2] == last), owners[0] if owners else exact)


def _imported(target: str) -> Any:
    """What a path names, where its module has been imported; else None."""
    module, _, attribute = target.partition(":") if ":" in target else target.rpartition(".")
    value: Any = sys.modules.get(module)
    for part in attribute.split("."):
        value = getattr(value, part, None)
    return value


def _brings(name: str, package: str) -> bool:
    try:
        files = distribution(name).files or ()
    except (PackageNotFoundError, ValueError):
        return False
    return any(file.parts[0] in (package, f"{package}.py") for file in files)


def load(plugin: Plugin) -> Any:
    """Import a plugin; one that takes long is named meanwhile.

    Raises:
        UserError: it needs another convkit, or something that is not installed; or whatever the import raised, with
            the entry point and the distribution that it came from.
    """
    if why := outdated(plugin.distribution, plugin.extras):
        raise UserError(f"{plugin} {why}; upgrade convkit, or install a {plugin.distribution} for it")
    waiting = threading.Timer(PATIENCE, _still_importing, [plugin])
    waiting.daemon = True
    if plugin.distribution != OURS:  # whose own imports are those, too
        for module in FIRST:
            import_module(module)
        waiting.start()
    try:
        return import_path(plugin.target)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):  # Ctrl-C, as far as one can tell
            raise
        cause = ": ".join(filter(None, (type(error).__name__, " ".join(str(error).split()))))
        lacks = error.name if isinstance(error, ModuleNotFoundError) and plugin.distribution else None
        if lacks and lacks.partition(".")[0] != plugin.target.partition(":")[0].partition(".")[0]:
            raise UserError(f"{plugin} cannot be loaded: {missing(plugin.distribution, lacks)}") from error
        if not plugin.distribution:
            raise UserError(
                f"{plugin.kind} {plugin.name} cannot be used: {cause}; convkit plugins lists what there is"
            ) from error
        raise UserError(f"{plugin} cannot be loaded: {cause}; repair or uninstall {plugin.distribution}") from error
    finally:
        waiting.cancel()


def _still_importing(plugin: Plugin) -> None:
    print(f"still importing {plugin}; Ctrl-C ends it", file=sys.stderr, flush=True)


def import_path(target: str) -> Any:
    """What ``module:attr`` or ``module.attr`` names; raises whatever the import does."""
    module, colon, attribute = target.partition(":")
    if not colon:
        module, _, attribute = target.rpartition(".")
    value: Any = import_module(module)
    for part in attribute.split("."):
        value = getattr(value, part)
    return value
