"""What installed distributions require, by their metadata: nothing of them is imported."""

import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import InvalidRequirement, Requirement

OURS = "convkit"


def normalized(distribution: str) -> str:
    """The one spelling under which names of distributions are compared (PEP 503)."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def outdated(distribution: str) -> str:
    """``requires convkit>=2, and this is convkit 0.1.0`` where a distribution does not fit; else empty."""
    ours = version(OURS)
    for need in _needs(distribution):
        if normalized(need.name) == OURS and not need.specifier.contains(ours, prereleases=True):
            return f"requires {OURS}{need.specifier}, and this is {OURS} {ours}"
    return ""


def missing(distribution: str, module: str) -> str:
    """How to install what a distribution imports and does not find."""
    package = normalized(module.partition(".")[0])
    for need in _needs(distribution):
        if need.marker and normalized(need.name) == package:
            extras = re.findall(r'extra\s*==\s*["\']([^"\']+)["\']', str(need.marker))
            if extras:
                return f"it needs the extra {extras[0]}: pip install '{distribution}[{extras[0]}]'"
    return f"it needs the module {module}, which is not installed"


def _needs(distribution: str) -> Iterator[Requirement]:
    try:
        lines = requires(distribution) or []
    except (PackageNotFoundError, ValueError):
        return
    for line in lines:
        try:
            yield Requirement(line)
        except InvalidRequirement:
            continue
