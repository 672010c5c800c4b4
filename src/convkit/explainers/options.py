"""What an explainer was asked to do, as its keyword arguments."""

import inspect
from collections.abc import Mapping
from typing import Any

from convkit.errors import UserError, did_you_mean


def arguments(
    function: Any, method: str, stage: str | None, unit: int | None, options: Mapping[str, Any]
) -> dict[str, Any]:
    """The keyword arguments of an explainer; raises UserError for what it does not take.

    Values may be text: they become what the option's default is.
    """
    known = dict(list(inspect.signature(function).parameters.items())[3:])
    found: dict[str, Any] = {}
    if unit is not None:
        if "of" not in known:
            raise UserError(f"{method} explains classes, not units: leave out --unit")
        if stage is None:
            raise UserError("--unit needs --stage, the stage whose feature map it is")
        found["of"] = stage
    elif stage is not None:
        if "stage" not in known:
            way = "needs --unit too, the feature map to explain" if "of" in known else "has no stage to choose"
            raise UserError(f"{method} with --stage {way}")
        found["stage"] = stage
    own = {name: each.default for name, each in known.items() if name not in ("of", "stage")}
    for name, value in options.items():
        if name not in own:
            raise UserError(f"{method} has no option {name!r}{did_you_mean(name, own)}")
        found[name] = _converted(f"{method}: {name}", value, own[name])
    return found


def _converted(name: str, value: Any, default: Any) -> Any:
    """Text to the type of an option's default; raises UserError where it is none of that."""
    kind = type(default)
    if kind is bool:
        words = {"true": True, "false": False}
        if str(value).lower() in words:
            return words[str(value).lower()]
        raise UserError(f"{name} is true or false, not {value!r}")
    if kind not in (int, float):
        return value
    try:
        return kind(value)
    except ValueError:
        raise UserError(f"{name} is a {'whole ' if kind is int else ''}number, not {value!r}") from None


def takes(function: Any, option: str) -> bool:
    """Whether an explainer has an option of this name."""
    return option in list(inspect.signature(function).parameters)[3:]


def makes_its_image(function: Any) -> bool:
    """Whether an explainer begins with the data set's average image, not with one that was chosen."""
    return list(inspect.signature(function).parameters)[1:2] == ["average"]
