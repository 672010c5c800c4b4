"""What several runs have in common."""

import statistics
from pathlib import Path

from run_files import facts

from convkit.report.page.compare import differences, groups
from convkit.report.page.facts import Facts
from convkit.report.page.page import Section, page
from convkit.report.page.panels import panels
from convkit.report.page.told import about


def states(runs: list[Facts], *changes: tuple[int, dict[str, object]]) -> list[Facts]:
    for index, change in changes:
        runs[index].state.update({key: value for key, value in change.items() if key == "state"})
        runs[index].config.update({key: value for key, value in change.items() if key != "state"})
    return runs


def told(runs: list[Facts]) -> list[tuple[list[str], str, str]]:
    return [(group.runs, group.cells[0], group.why) for group in groups(runs)]


def test_seeds_are_taken_together(tmp_path: Path) -> None:
    errors = (20.0, 22.0, 21.5)
    one, other = groups([*facts(tmp_path, *errors), *facts(tmp_path, 30.0, model={"lr": 0.2})])
    assert one.runs == ["of0/1", "of0/2", "of0/3"]
    assert one.about == ["model.lr: 0.1"]
    assert one.cells[0] == f"{statistics.mean(errors):.2f} ± {statistics.stdev(errors):.2f} (n = 3)"
    assert (other.runs, other.about, other.cells[0]) == (["of1/1"], ["model.lr: 0.2"], "30.00")


def test_only_finished_runs_of_different_seeds_are_averaged(tmp_path: Path) -> None:
    runs = facts(tmp_path, 20.0, 22.0, 24.0, 95.0, 60.0)
    states(runs, (2, {"seed_everything": 1}), (3, {"state": "crashed"}), (4, {"state": "unknown"}))
    assert told(runs) == [
        (["of0/1", "of0/2"], "21.00 ± 1.41 (n = 2)", ""),
        (["of0/3"], "24.00", "not counted: the seed of of0/1"),
        (["of0/4"], "95.00", "not counted: crashed"),
        (["of0/5"], "60.00", "not counted: not known to have finished"),
    ]
    text = page([Section(one) for one in runs], "made now")
    assert "not counted: crashed" in text
    # Without a seed each run is another.
    unset = states(
        facts(tmp_path / "unset", 20.0, 22.0), (0, {"seed_everything": None}), (1, {"seed_everything": None})
    )
    assert told(unset) == [(["of0/1", "of0/2"], "21.00 ± 1.41 (n = 2)", "")]


def test_a_training_that_was_resumed_is_one(tmp_path: Path) -> None:
    last = Path("checkpoints") / "last.ckpt"
    here, moved = tmp_path / "of0" / "1" / last, Path("elsewhere/of0/2") / last
    runs = facts(tmp_path, 30.0, 25.0, 20.0, 22.0)
    states(
        runs,
        (0, {"state": "stopped"}),
        (1, {"seed_everything": 1, "ckpt_path": str(here)}),
        (2, {"seed_everything": 1, "ckpt_path": str(moved)}),
    )
    assert told(runs) == [
        (["of0/3", "of0/4"], "21.00 ± 1.41 (n = 2)", ""),
        (["of0/1"], "30.00", "not counted: of0/2 goes on from it"),
        (["of0/2"], "25.00", "not counted: of0/3 goes on from it"),
    ]
    assert dict(about(runs[1]))["training, since it was resumed"] == "7.0 s"
    assert dict(about(runs[0]))["training"] == "7.0 s"


def test_what_they_differ_in(tmp_path: Path) -> None:
    runs = [*facts(tmp_path, 20.0, name="a", wandb="off"), *facts(tmp_path, 20.0, 21.0, model={"lr": 0.2})]
    assert differences(runs) == [("model.lr", ["0.1", "0.2", "0.2"]), ("seed_everything", ["1", "1", "2"])]


def test_several_runs_have_a_chart_a_metric(tmp_path: Path) -> None:
    found = panels(facts(tmp_path, 20.0, 22.0))
    assert [panel["title"] for panel in found] == ["train/loss", "val/loss", "val/top1_error", "lr/all"]
    assert [series["label"] for series in found[0]["series"]] == ["of0/1", "of0/2"]
