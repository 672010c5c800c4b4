"""Short names of plugins to dotted paths, in configs and on the command line, before anything is imported."""

from collections.abc import Iterator
from typing import Any

from convkit import plugins
from convkit.errors import UserError
from convkit.requirements import OURS

# Where a config names a plugin, and of which kind.
PLACES = {"data": "dataset", "model.architecture": "architecture", "model.schedule": "schedule"}
FLAGS = ("--help", "--print_config")  # options that take no value


class Names:
    """Replaces short names; ``chosen`` keeps, for each place, the plugin that it last replaced there."""

    def __init__(self) -> None:
        self.chosen: dict[str, plugins.Plugin] = {}
        self._ours = False

    def path(self, place: str, name: str) -> str:
        """The dotted path of a short name or ``distribution:name``; a dotted path as it is."""
        if "." in name and ":" not in name:
            self.chosen[place] = plugins.at(PLACES[place], name)
            return name
        if self._ours and any(each.distribution == OURS for each in plugins.named(PLACES[place]).get(name, [])):
            name = f"{OURS}:{name}"
        plugin = plugins.find(PLACES[place], name)
        self.chosen[place] = plugin
        return plugin.path

    def in_config(self, config: dict[str, Any], ours: bool = False) -> dict[str, Any]:
        """A copy of a config with every short name replaced; in one of ``ours`` it is convkit's, whoever has it too."""
        self._ours = ours
        try:
            return {key: self._value(key, value) for key, value in config.items()}
        finally:
            self._ours = False

    def _value(self, place: str, value: Any) -> Any:
        if place in PLACES:
            if isinstance(value, str):
                return self.path(place, value)
            if isinstance(value, dict) and isinstance(value.get("class_path"), str):
                return {**value, "class_path": self.path(place, value["class_path"])}
        elif isinstance(value, dict) and any(known.startswith(f"{place}.") for known in PLACES):
            return {key: self._value(f"{place}.{key}", inner) for key, inner in value.items()}
        return value

    def in_arguments(self, arguments: list[str]) -> list[str]:
        """Command-line arguments with every short name replaced, each option and its value in one word.

        ``trainer.devices=2`` is taken for ``--trainer.devices=2``. Classes come first: their options mean nothing
        to the parser before it knows the class.
        """
        replaced = [self._word(word) for word in words(arguments)]
        return sorted(replaced, key=lambda word: _place(word) not in PLACES)

    def _word(self, word: str) -> str:
        option, equals, value = word.partition("=")
        place = _place(word)
        if place in PLACES and not value:
            raise UserError(f"{option} needs a name: {', '.join(plugins.named(PLACES[place]))}")
        if equals and place in PLACES and value and not value.startswith(("{", "[")):
            return f"{option}={self.path(place, value)}"
        return word


def _place(word: str) -> str:
    """The place whose class an option chooses, or asks help for; any other option's own name."""
    return word.partition("=")[0].removeprefix("--").removesuffix(".class_path").removesuffix(".help")


def words(arguments: list[str]) -> Iterator[str]:
    """Arguments with ``--option value`` joined to ``--option=value``, and ``key=value`` given its dashes."""
    rest = iter(arguments)
    pending: str | None = None
    for word in rest:
        if pending is not None:
            if not word.startswith("--"):
                yield f"{pending}={word}"
                pending = None
                continue
            yield pending
            pending = None
        if word.startswith("--") and "=" not in word and word not in FLAGS:
            pending = word
        elif word == "-c":
            pending = "--config"
        elif not word.startswith("-") and "=" in word:
            yield f"--{word}"
        else:
            yield word
    if pending is not None:
        yield pending
