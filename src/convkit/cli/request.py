"""What a command that trains or evaluates was asked for."""

from dataclasses import dataclass, field
from typing import Any

from convkit.plugins import Plugin


@dataclass
class Request:
    """What was asked for, short names replaced: configs from lowest to highest, then the command line's words."""

    command: str
    configs: list[dict[str, Any]] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    default_name: str | None = None
    plugins: list[Plugin] = field(default_factory=list)

    def value(self, option: str) -> Any:
        """The value of a top-level option that wins so far, or None."""
        for word in reversed(self.words):
            name, equals, value = word.partition("=")
            if equals and name == f"--{option}":
                return value
        return next((config[option] for config in reversed(self.configs) if config.get(option) is not None), None)
