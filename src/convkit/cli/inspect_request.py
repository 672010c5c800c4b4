"""What ``convkit inspect`` was asked for."""

from dataclasses import dataclass, field
from pathlib import Path

from convkit import plugins


@dataclass
class Request:
    """What was asked for, the architecture's short name replaced."""

    name: str  # as it was given
    words: list[str] = field(default_factory=list)  # for the parser of the architecture
    image_shape: tuple[int, int, int] | None = None
    num_classes: int | None = None
    compare: list[str] = field(default_factory=list)
    plot: Path | None = None
    stages: bool = False
    json: bool = False
    plugin: plugins.Plugin | None = None

    @property
    def title(self) -> str:
        """The architecture with its options, as they were given."""
        options = (word.removeprefix("--architecture.") for word in self.words if "--architecture." in word)
        return " ".join([self.name, *options])
