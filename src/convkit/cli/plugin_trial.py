"""The computing part of ``convkit plugins check``."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from convkit.cli.quiet import quiet
from convkit.errors import UserError, did_you_mean
from convkit.plugins import Plugin
from convkit.testing import architecture, dataset, explainer, schedule
from convkit.testing.contract import Outcome

EXAMINE: dict[str, Callable[[Any, int, Mapping[str, Any]], list[Outcome]]] = {
    "architecture": lambda target, ranks, options: architecture.examine(target, None, ranks, options),
    "dataset": dataset.examine,
    "schedule": schedule.examine,
    "explainer": lambda target, ranks, options: explainer.examine(target, None, None, options),
}


def outcomes(plugin: Plugin, target: Any, options: Mapping[str, Any], ranks: int) -> list[Outcome]:
    """What each clause of its kind's contract found.

    Raises:
        UserError: it has no such option.
    """
    quiet()
    if callable(target):
        parameters = inspect.signature(target).parameters.values()
        known = [each.name for each in parameters if each.kind is not each.VAR_KEYWORD]
        for name in options:
            if name not in known and not any(each.kind is each.VAR_KEYWORD for each in parameters):
                raise UserError(f"{plugin} has no option {name!r}{did_you_mean(name, known)}")
    return EXAMINE[plugin.kind](target, ranks, options)
