"""Clauses, run one after the other; what each found, in one sentence."""

import inspect
import traceback
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from convkit.errors import UserError

Subject = TypeVar("Subject")


class ContractError(AssertionError):
    """A plugin does not keep its contract: a line for each clause, with what to do."""


class Failure(Exception):  # noqa: N818 - what a clause found, no error of its own
    """One sentence: what is wrong, and what to do."""


class LeftOut(Exception):  # noqa: N818 - nothing is known to be wrong
    """Why a clause cannot be judged."""


class Outcome(NamedTuple):
    """``held`` is None where the clause could not be judged; ``said`` is why, or what is wrong."""

    clause: str
    held: bool | None
    said: str = ""


class Clause(NamedTuple, Generic[Subject]):
    """A clause by name; where an ``essential`` one does not hold, those after it are not asked."""

    name: str
    check: Callable[[Subject], None]
    essential: bool = False


def judge(clauses: Sequence[Clause[Subject]], subject: Subject) -> list[Outcome]:
    """What each clause found, up to the first essential one that does not hold."""
    found: list[Outcome] = []
    for clause in clauses:
        found.append(_judged(clause, subject))
        if clause.essential and not found[-1].held:
            break
    return found


def _judged(clause: Clause[Subject], subject: Subject) -> Outcome:
    try:
        clause.check(subject)
    except Failure as failure:
        return Outcome(clause.name, False, str(failure))
    except LeftOut as why:
        return Outcome(clause.name, None, str(why))
    except Exception as error:  # a stranger's code raises anything
        return Outcome(clause.name, False, f"raised {told(error)}; no error is expected here")
    return Outcome(clause.name, True)


def enforce(found: Sequence[Outcome]) -> None:
    """Raise unless every clause holds; one that could not be judged has not been shown to.

    Clauses that were left out on purpose are no part of ``found``.

    Raises:
        ContractError: a line for each clause.
    """
    lines = [f"{outcome.clause}: {outcome.said}" for outcome in found if not outcome.held]
    if lines:
        raise ContractError("\n".join(lines))


def demand(condition: bool, sentence: str) -> None:
    """Raise :class:`Failure` with the sentence unless the condition holds."""
    if not condition:
        raise Failure(sentence)


def told(error: BaseException) -> str:
    """Type and text of an exception in one line, and the innermost line of code that raised it."""
    text = " ".join(str(error).split())
    frames = traceback.extract_tb(error.__traceback__)
    place = f" (at {Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"{': '.join(filter(None, (type(error).__name__, text)))}{place}"


def some(names: Sequence[str], most: int = 3) -> str:
    """The first of many names, and how many there are."""
    return ", ".join(names) if len(names) <= most else f"{', '.join(names[:most])} and {len(names) - most} more"


def refusal(build: Callable[[], Any]) -> str | None:
    """The line with which a constructor refuses, or None.

    Raises:
        Failure: it refuses in several lines.
    """
    try:
        build()
    except (ValueError, UserError) as error:
        demand("\n" not in str(error), f"refuses in several lines ({str(error).splitlines()[0]} …); use one line")
        return str(error)
    return None


def check_target(target: Any, wanted: type, first: Sequence[str] = ()) -> None:
    """A class below ``wanted``, or a function annotated to return one; ``first`` are its leading parameters.

    Raises:
        Failure: it is neither, or its parameters cannot become options.
    """
    name = getattr(target, "__name__", repr(target))
    if not (inspect.isclass(target) or inspect.isfunction(target)):
        kind = type(target).__name__
        raise Failure(f"the target is a {kind}, neither a class nor a function; let the entry point name a class")
    if inspect.isclass(target):
        demand(issubclass(target, wanted), f"{name} is no {wanted.__name__}; derive it from convkit.{wanted.__name__}")
    else:
        returns = typing.get_type_hints(target).get("return")
        good = inspect.isclass(returns) and issubclass(returns, wanted)
        demand(good, f"{name} does not say what it returns; annotate it with -> {wanted.__name__}")
    parameters = list(inspect.signature(target).parameters.values())
    leading = [parameter.name for parameter in parameters[: len(first)]]
    demand(leading == list(first), f"the first parameters are ({', '.join(leading)}); make them ({', '.join(first)})")
    bare = [parameter.name for parameter in parameters if parameter.annotation is parameter.empty]
    demand(not bare, f"{some(bare)} has no type annotation; the command line needs one for each option")
    needed = [parameter.name for parameter in parameters[len(first) :] if parameter.kind is parameter.VAR_POSITIONAL]
    demand(not needed, f"*{some(needed)} cannot be an option; name each one")
