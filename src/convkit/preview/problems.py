"""Reasons why a run could not work, each one line, gathered instead of ending with the first."""

from collections.abc import Iterator
from contextlib import contextmanager

from lightning.fabric.utilities.exceptions import MisconfigurationException

from convkit.errors import UserError


class Problems:
    """``lines`` in the order in which they were found, each once."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def add(self, line: str) -> None:
        if line not in self.lines:
            self.lines.append(line)

    @contextmanager
    def gathered(self) -> Iterator[None]:
        """What a user got wrong inside is one of the problems, and not the end."""
        try:
            yield
        except (UserError, MisconfigurationException, ValueError) as error:
            self.add(" ".join(str(error).split()))
