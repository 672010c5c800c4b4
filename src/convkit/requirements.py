"""What installed distributions require, by their metadata: nothing of them is imported."""

import re
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, distribution, requires, version

from packaging.markers import Marker
from packaging.requirements import InvalidRequirement, Requirement

OURS = "convkit"


def normalized(name: str) -> str:
    """The one spelling under which names of distributions are compared (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def article(kind: str) -> str:
    """``an architecture``, ``a schedule``."""
    return f"{'an' if kind[:1] in 'aeiou' else 'a'} {kind}"


def outdated(name: str, extras: Iterable[str] = ()) -> str:
    """``requires convkit>=2, and this is convkit 0.1.0`` where a distribution does not fit; else empty."""
    ours = version(OURS)
    for need in _needs(name):
        if normalized(need.name) != OURS or not _holds(need.marker, extras):
            continue
        if not need.specifier.contains(ours, prereleases=True):
            return f"requires {OURS}{need.specifier}, and this is {OURS} {ours}"
    return ""


def unmet(name: str, extras: Iterable[str] = ()) -> str:
    """``needs timm, which is not installed: pip install …`` where a distribution lacks something; else empty.

    ``extras`` are those that an entry point names in brackets.
    """
    for need in _needs(name):
        if _holds(need.marker) and not _here(need.name):
            return f"needs {need.name}, which is not installed: pip install '{need.name}{need.specifier}'"
    for extra in extras:
        for need in _needs(name):
            if _holds(need.marker, [extra]) and not _here(need.name):
                return f"needs the extra {extra}: pip install '{name}[{extra}]'"
    return ""


def missing(name: str, module: str) -> str:
    """How to install what a distribution imports and does not find.

    A module need not be called as the distribution that brings it (sklearn, scikit-learn), and of one that is not
    installed nothing tells. Where none is called so, everything that is required and not there is named.
    """
    package = normalized(module.partition(".")[0])
    lacking = [need for need in _needs(name) if not _here(need.name)]
    alike = [need for need in lacking if normalized(need.name) == package]
    ways, extras = [], []
    for need in alike or lacking:
        named = _extras(need.marker)
        if named:
            extras += named[:1]
            ways.append(f"'{name}[{named[0]}]'")
        elif _holds(need.marker):
            ways.append(f"'{need.name}{need.specifier}'")
    ways = list(dict.fromkeys(ways))
    if alike and ways:
        what = f"the extra {extras[0]}" if extras else f"{alike[0].name}, which is not installed"
        return f"it needs {what}: pip install {ways[0]}"
    perhaps = f"; perhaps it comes with pip install {' or '.join(ways)}" if ways else ""
    return f"it needs the module {module}, which is not installed{perhaps}"


def _here(name: str) -> bool:
    try:
        distribution(name)
    except (PackageNotFoundError, ValueError):
        return False
    return True


def _holds(marker: Marker | None, extras: Iterable[str] = ()) -> bool:
    """Whether a requirement is one here, on this Python and system, with these extras."""
    if marker is None:
        return True
    try:
        return any(marker.evaluate({"extra": extra}) for extra in ("", *extras))
    except Exception:  # compares what cannot be compared
        return False


def _extras(marker: Marker | None) -> list[str]:
    return re.findall(r'extra\s*==\s*["\']([^"\']+)["\']', str(marker or ""))


def _needs(name: str) -> Iterator[Requirement]:
    try:
        lines = requires(name) or []
    except (PackageNotFoundError, ValueError):
        return
    for line in lines:
        try:
            yield Requirement(line)
        except InvalidRequirement:
            continue
