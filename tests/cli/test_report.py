"""``convkit report`` and ``convkit runs``."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import Command


def test_the_page_holds_everything_and_is_small(html: Path) -> None:
    text = html.read_text(encoding="utf-8")
    for part in ("Curves", "When each stage settles", "Features as they form", "Which classes are confused",
                 "grad_cam", "What excites each feature map most", "Layers (", "Configuration"):  # fmt: skip
        assert part in text
    assert "cannot" not in text.partition("<main")[2].partition('<script type="application/json"')[0]
    assert html.stat().st_size < 5e6


def test_a_page_is_replaced_and_nothing_else(evolved: Path, tmp_path: Path, convkit: Command) -> None:
    other, out = tmp_path / "thesis.html", tmp_path / "page.html"
    other.write_text("<p>three years of work</p>")
    result = convkit("report", evolved, "--out", other, "--files_only")
    assert (result.status, other.read_text()) == (2, "<p>three years of work</p>")
    assert "was not written by convkit report" in result.err
    for _ in range(2):
        assert convkit("report", evolved, "--out", out, "--files_only").status == 0


def test_files_alone_need_no_torch(evolved: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from convkit.cli.front import main\n"
        f"assert main(['report', {str(evolved)!r}, '--out', 'page.html', '--files_only']) == 0\n"
        f"assert main(['runs', {str(evolved.parents[1])!r}]) == 0\n"
        "print(sorted({'torch', 'lightning', 'matplotlib', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("nowhere", "--out", "a.html"), "there is no run nowhere"),
        ((".", "--out", "a.html"), ". is not a run: it has no config.yaml"),
        (("{run}", "--out", "a.pdf"), "--out is an HTML file, not a.pdf"),
        (("{run}", "--out", "none/a.html"), "there is no folder none for --out"),
        (("{run}",), "--out"),
    ],
)
def test_mistakes_are_one_line(evolved: Path, convkit: Command, words: tuple[str, ...], line: str) -> None:
    result = convkit("report", *(word.format(run=evolved) for word in words))
    assert result.status == 2
    assert line in result.err
    assert result.err.count("\n") == 1


def test_what_cannot_be_had_is_told_in_the_page(evolved: Path, tmp_path: Path, convkit: Command) -> None:
    crashed = tmp_path / "runs" / "crashed" / "1"
    shutil.copytree(evolved, crashed)
    shutil.rmtree(crashed / "checkpoints")
    (crashed / "metrics.csv").write_text("epoch,step,train/loss\n0,1,0.5\n0,2,0.4")
    result = convkit("report", crashed, "--out", "page.html", "--explain", "nosuch", "--patches", "conv9")
    assert result.status == 0
    assert "has no checkpoint" in result.out
    assert "has no checkpoint" in Path("page.html").read_text()


def test_the_table_of_runs(evolved: Path, convkit: Command) -> None:
    (row,) = json.loads(convkit("runs", evolved.parent.parent, "--json").out)
    assert (row["name"], row["state"], row["epochs"], row["tags"]) == ("quickstart/1", "finished", 3, ["watched"])
    assert row["seconds"] > 0
    found = [float(line.split(",")[0]) for line in _column(evolved / "metrics.csv", "val/top1_error")]
    assert row["error"] == min(found)
    text = convkit("runs", evolved.parent.parent, "--tag", "watched").out
    assert "quickstart/1  finished       3" in text
    assert convkit("runs", evolved.parent.parent, "--state", "crashed").out == "no runs\n"
    assert convkit("runs", "nowhere").err.endswith("there is no folder nowhere; name the folder of your runs\n")


def _column(path: Path, name: str) -> list[str]:
    import csv

    with path.open(newline="") as file:
        return [row[name] for row in csv.DictReader(file) if row[name]]


def test_runs_are_sorted_both_ways_and_a_cut_line_counts_for_nothing(tmp_path: Path, convkit: Command) -> None:
    for number, error in enumerate(("66.4", "7.5", None, "9.1"), 1):
        place = tmp_path / "runs" / "made" / str(number)
        place.mkdir(parents=True)
        (place / "config.yaml").write_text("name: made\n")
        rows = f"0,10,{error}\n1,20,6" if error else ""
        (place / "metrics.csv").write_text("epoch,step,val/top1_error\n" + rows)

    def order(key: str) -> list[tuple[str, float | None]]:
        return [(row["name"], row["error"]) for row in json.loads(convkit("runs", "--sort", key, "--json").out)]

    assert order("error") == [("made/2", 7.5), ("made/4", 9.1), ("made/1", 66.4), ("made/3", None)]
    assert order("error-") == [("made/1", 66.4), ("made/4", 9.1), ("made/2", 7.5), ("made/3", None)]
    assert [name for name, _ in order("name-")] == ["made/4", "made/3", "made/2", "made/1"]
    assert convkit("runs", "--sort", "eror").status == 2


def test_a_run_that_was_killed_or_never_ended(evolved: Path, tmp_path: Path, convkit: Command) -> None:
    killed = tmp_path / "runs" / "killed" / "2"
    shutil.copytree(evolved, killed)
    state = json.loads((killed / "state.json").read_text())
    (killed / "state.json").write_text(json.dumps({**state, "state": "running"}))  # by a process that has gone
    empty = tmp_path / "runs" / "empty" / "1"
    empty.mkdir(parents=True)
    (empty / "config.yaml").write_text("a: 1\n")
    rows = {row["name"]: row for row in json.loads(convkit("runs", "--json").out)}
    # This very process wrote it and lives: what it says is believed.
    assert rows["killed/2"]["state"] == "running"
    (killed / "state.json").write_text(
        json.dumps({**state, "state": "running", "process": {**state["process"], "pid": 2**22 + 1}})
    )
    rows = {row["name"]: row for row in json.loads(convkit("runs", "--json").out)}
    assert rows["killed/2"]["state"] == "crashed"
    assert (rows["empty/1"]["state"], rows["empty/1"]["error"]) == ("unknown", None)
