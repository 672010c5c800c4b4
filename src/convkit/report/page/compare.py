"""Several runs side by side: what their configurations differ in, and the same one with other seeds taken together."""

import statistics
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from convkit.report.page.facts import Facts, shown
from convkit.run_directory import CHECKPOINTS
from convkit.run_state import FINISHED, UNKNOWN

SECTIONS = ("model", "data")  # of a configuration, the telling ones first
# Not what was trained, but where it was written and how it was watched.
ASIDE = ("name", "runs", "tags", "wandb", "wandb_project", "ckpt_path", "test_at_end")
RESULTS = {
    "best val top-1 error (%)": lambda facts: facts.best[0] if facts.best else None,
    "last val top-1 error (%)": lambda facts: facts.last("val/top1_error"),
    "test top-1 error (%)": lambda facts: facts.last("test/top1_error"),
    "test top-5 error (%)": lambda facts: facts.last("test/top5_error"),
}


_ABSENT = "–"
LINES = 4  # of what a group has otherwise


class Group(NamedTuple):
    """Runs of one configuration but for the seeds; ``cells``: a text for each of ``RESULTS``."""

    runs: list[str]
    about: list[str]  # what it has otherwise than other groups
    cells: list[str]
    why: str = ""  # it is beside those that are taken together


def differences(runs: Sequence[Facts]) -> list[tuple[str, list[str]]]:
    """The keys that not all runs have alike, with each run's value: what was trained first, seeds last; the run's own
    affairs are left out."""
    keys = dict.fromkeys(key for facts in runs for key in facts.config if not _aside(key))
    rows = [(key, [shown(facts.config[key]) if key in facts.config else _ABSENT for facts in runs]) for key in keys]
    told = {section: place for place, section in enumerate(SECTIONS)}
    varied = ((key, values) for key, values in rows if len({*values}) > 1)
    return sorted(varied, key=lambda row: (_is_seed(row[0]), told.get(row[0].partition(".")[0], len(SECTIONS))))


def groups(runs: Sequence[Facts]) -> list[Group]:
    """In the order in which the runs were given: those that finished, each of another seed, together; then, one by one,
    the others of the same configuration."""
    varied = [key for key, _ in differences(runs) if not _is_seed(key)]
    members: dict[tuple[str, ...], list[Facts]] = {}
    for facts in runs:
        members.setdefault(tuple(shown(facts.config.get(key, _ABSENT)) for key in varied), []).append(facts)
    found = []
    for values, own in members.items():
        about = [f"{key}: {value}" for key, value in zip(varied, values, strict=True) if value != _ABSENT]
        if len(about) > LINES:
            about = [*about[: LINES - 1], f"and {len(about) - LINES + 1} more"]
        reasons = dict(_reasons(own))
        counted = [facts for index, facts in enumerate(own) if index not in reasons]
        if counted:
            found.append(_group(counted, about))
        found += [_group([own[index]], about, why) for index, why in reasons.items()]
    return found


def _group(runs: Sequence[Facts], about: list[str], why: str = "") -> Group:
    return Group([facts.name for facts in runs], about, [_told(of, runs) for of in RESULTS.values()], why)


def _reasons(runs: Sequence[Facts]) -> Iterator[tuple[int, str]]:
    """The runs, by index, that are no further seed of a training, and why."""
    known: dict[tuple[str, ...], str] = {}
    for index, facts in enumerate(runs):
        later = [other.name for other in runs if other is not facts and _continues(other, facts)]
        state, seeds = facts.state["state"], _seeds(facts)
        if later:
            yield index, f"not counted: {later[-1]} goes on from it"
        elif state != FINISHED:
            yield index, f"not counted: {'not known to have finished' if state == UNKNOWN else state}"
        elif seeds and seeds in known:
            yield index, f"not counted: the seed of {known[seeds]}"
        else:
            known[seeds] = facts.name


def _continues(later: Facts, earlier: Facts) -> bool:
    """Whether its checkpoint lies in the other run; by name and number where the runs have been moved."""
    if later.resumed is None or later.resumed.parent.name != CHECKPOINTS:
        return False
    run = later.resumed.parent.parent
    return run.parts[-2:] == earlier.directory.parts[-2:] if not run.exists() else run.resolve() == earlier.directory


def _seeds(facts: Facts) -> tuple[str, ...]:
    """Empty where none was set, so that every run is another."""
    values = {key: value for key, value in sorted(facts.config.items()) if _is_seed(key)}
    seed = values.get("seed_everything")
    return () if seed is None or seed is False else tuple(f"{key}: {shown(value)}" for key, value in values.items())


def _told(result: object, runs: Sequence[Facts]) -> str:
    """Mean ± standard deviation over the runs that have it, of several; with their number."""
    assert callable(result)
    values = [value for facts in runs if (value := result(facts)) is not None]
    if not values:
        return "–"
    if len(values) == 1:
        return f"{values[0]:.2f}"
    return f"{statistics.mean(values):.2f} ± {statistics.stdev(values):.2f} (n = {len(values)})"


def _is_seed(key: str) -> bool:
    return key == "seed_everything" or key.rpartition(".")[2] == "seed"


def _aside(key: str) -> bool:
    return key.partition(".")[0] in ASIDE
