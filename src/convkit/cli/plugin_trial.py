"""The computing part of ``convkit plugins check``."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from convkit.cli.quiet import quiet
from convkit.errors import UserError, did_you_mean
from convkit.plugins import Plugin
from convkit.testing import architecture, dataset, explainer, schedule
from convkit.testing.contract import Outcome

Shape = tuple[int, int, int]
EXAMINE: dict[str, Callable[[Any, int, Mapping[str, Any]], list[Outcome]]] = {
    "dataset": dataset.examine,
    "schedule": schedule.examine,
    "explainer": lambda target, ranks, options: explainer.examine(target, None, None, options),
}
FROM_THE_DATA = {"architecture": ("num_classes", "image_shape")}
OPEN = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)


def outcomes(
    plugin: Plugin, target: Any, options: Mapping[str, Any], ranks: int, image_shape: Shape | None = None
) -> list[Outcome]:
    """What each clause of its kind's contract found.

    Raises:
        UserError: it has no such option, needs one that is not given, or is no architecture and has no image shape.
    """
    quiet()
    if callable(target):
        known = _parameters(target)
        from_the_data = FROM_THE_DATA.get(plugin.kind, ())
        for name in options:
            if name in from_the_data:
                raise UserError(f"{name} comes from the data, and is no option of {plugin}; give --image_shape C,H,W")
            if name not in known:
                raise UserError(f"{plugin} has no option {name!r}{did_you_mean(name, list(known))}")
        needed = [
            name
            for name, each in known.items()
            if each.default is each.empty and name not in {*options, *from_the_data}
        ]
        # The contract says it better: an explainer.s options have defaults, and a network takes its sizes first.
        if needed and plugin.kind != "explainer" and known.keys() >= {*from_the_data}:
            ways = " ".join(f"{name}=VALUE" for name in needed)
            raise UserError(f"{plugin} cannot be made without {', '.join(needed)}; give --option {ways}")
    if plugin.kind == "architecture":
        return architecture.examine(target, image_shape, ranks, options)
    if image_shape is not None:
        raise UserError(f"--image_shape is for architectures, not for {plugin}")
    return EXAMINE[plugin.kind](target, ranks, options)


def _parameters(target: Any) -> dict[str, inspect.Parameter]:
    """By name; of a class that hands ``**options`` on, its bases' too."""
    bases = inspect.getmro(target) if inspect.isclass(target) else (target,)
    found: dict[str, inspect.Parameter] = {}
    for base in bases:
        if inspect.isclass(base) and "__init__" not in vars(base):
            continue
        signature = inspect.signature(base.__init__ if inspect.isclass(base) else base).parameters.values()
        own = [each for each in signature if each.name != "self" or not inspect.isclass(base)]
        found = {each.name: each for each in own if each.kind not in OPEN} | found
        if not any(each.kind is each.VAR_KEYWORD for each in own):
            break
    return found
