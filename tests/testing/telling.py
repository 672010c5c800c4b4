"""What the tests of the contracts ask of an outcome."""

from collections.abc import Sequence

from convkit.testing.contract import Outcome


def assert_told(found: Sequence[Outcome], clause: str, line: str) -> None:
    """One sentence, of that clause."""
    said = {outcome.clause: outcome.said for outcome in found if not outcome.held}
    assert line in said.get(clause, "it holds"), said
    assert "\n" not in said[clause]
