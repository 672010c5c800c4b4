"""Short names that ``convkit plugins new`` refuses: the package would not work, or hide another."""

from pathlib import Path

import pytest

from conftest import Command


@pytest.mark.parametrize(
    ("name", "kind", "line"),
    [
        ("class", "architecture", "a word or a module of its own"),
        ("json", "dataset", "a word or a module of its own"),
        ("torch", "architecture", "a word or a module of its own"),
        ("subject", "explainer", "what its module itself imports"),
        ("split", "dataset", "what its module itself imports"),
        ("nn", "architecture", "what its module itself imports"),
    ],
)
def test_refused(name: str, kind: str, line: str, convkit: Command) -> None:
    result = convkit("plugins", "new", "made", "--kind", kind, "--name", name)
    assert (result.status, result.err.count("\n")) == (2, 1)
    assert line in result.err
    assert not Path("made").exists()


def test_others_are_not(convkit: Command) -> None:
    assert convkit("plugins", "new", "made", "--kind", "schedule", "--name", "tensors").status == 0
