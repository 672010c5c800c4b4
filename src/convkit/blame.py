"""Whose an exception is: of a plugin of somebody else's, by the code that it passed through."""

import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from convkit.plugins import Plugin, installed, unreadable
from convkit.requirements import OURS

# What strangers may offer again under a name of their own, without being to blame for it.
OTHERS = {OURS, "torch", "torchvision", "lightning", "numpy", "timm", "builtins"}


def blame(error: BaseException) -> str | None:
    """One line that names the plugin, or the file of a distribution; None where it is nobody's of these.

    The innermost frame of a plugin's code counts. Memory that has run out is nobody's fault.
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return None
    frames = list(_frames(error.__traceback__))
    if any(module.startswith("importlib.metadata") for module, _, _ in frames) and (broken := unreadable()):
        return broken[0].wrong
    strangers = [plugin for plugin in installed() if plugin.distribution != OURS]
    packages = {plugin: _packages(plugin) for plugin in strangers}
    for module, function, place in reversed(frames):
        top = module.partition(".")[0]
        suspects = [plugin for plugin in strangers if top in packages[plugin]]
        if suspects:
            exact = [one for one in suspects if function.split(".")[0] == one.target.rpartition(":")[2]]
            who = str((exact or suspects)[0]) if exact or len(suspects) == 1 else _distribution(suspects[0])
            text = ": ".join(filter(None, (type(error).__name__, " ".join(str(error).split()))))
            return f"{who} raised {text} ({place}); --debug shows where"
    return None


def _distribution(plugin: Plugin) -> str:
    return f"{plugin.distribution} {plugin.version}"


def _frames(trace: TracebackType | None) -> Iterator[tuple[str, str, str]]:
    """From the outermost: the module, the function with its class, and the file's name and line."""
    for frame, line in traceback.walk_tb(trace):
        code = frame.f_code
        name = str(frame.f_globals.get("__name__", ""))
        yield name, code.co_qualname, f"{Path(code.co_filename).name}, line {line}"


def _packages(plugin: Plugin) -> set[str]:
    """The packages that its code lies in: its target's, and that which its target comes from."""
    module, _, attribute = plugin.target.partition(":")
    found = {module}
    value = sys.modules.get(module)
    for part in attribute.split("."):
        value = getattr(value, part, None)
    found.add(str(getattr(value, "__module__", "")))
    return {each.partition(".")[0] for each in found} - OTHERS - {""}
