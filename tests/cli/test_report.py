"""``convkit report`` and ``convkit runs``."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from conftest import SMALL, Command
from convkit.cli.front import main
from convkit.evolution.history import History


def test_the_page_holds_everything_and_is_small(html: Path) -> None:
    text = html.read_text(encoding="utf-8")
    for part in ("Curves", "When each stage settles", "Features as they form", "Which classes are confused",
                 "Classes (10)", "Worst mistakes", "Filters of the first layer",
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


@pytest.fixture(scope="module")
def diverged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("diverged") / "runs"
    options = ["--runs", str(runs), "--trainer.max_epochs", "2", "--model.schedule.lr", "1e30",
               "--trainer.callbacks+=FeatureEvolution", "--trainer.callbacks.epochs", "[1,2]"]  # fmt: skip
    assert main(["fit", *SMALL, *options]) == 0
    return runs / "quickstart" / "1"


@pytest.mark.parametrize("words", [("--files_only",), ("--explain", "grad_cam", "saliency", "--split", "test")])
def test_a_run_that_diverged(diverged: Path, convkit: Command, words: tuple[str, ...]) -> None:
    assert "nan" in (diverged / "evolution" / "settling.csv").read_text()
    result = convkit("report", diverged, "--out", "page.html", *words)
    assert (result.status, result.err) == (0, "")
    assert "train/loss is not finite" in result.out
    assert "of settling.csv are not finite, and left out" in result.out
    if "--files_only" not in words:
        assert "val images behind the numbers: the network puts out nothing that is finite" in result.out
        assert "top patches: no map of fc6 is active at any image of test" in result.out
    assert "Layers (" in Path("page.html").read_text() or "--files_only" in words


def test_strips_that_a_kill_cut(evolved: Path, tmp_path: Path, convkit: Command) -> None:
    killed = tmp_path / "runs" / "killed" / "1"
    shutil.copytree(evolved, killed)
    whole = (killed / "evolution" / "conv3.npz").read_bytes()
    for name, kept in (("conv1", whole[: len(whole) // 2]), ("conv3", b""), ("half", whole[:-10]), ("no", b"PK no")):
        (killed / "evolution" / f"{name}.npz").write_bytes(kept)
        assert not History(name, [0]).load(killed / "evolution", [1, 2, 3])
    result = convkit("report", killed, "--out", "page.html", "--files_only")
    assert result.status == 0
    for name in ("conv1", "conv3", "half", "no"):
        assert f"{name}.npz cannot be read" in result.out


MUTATIONS: dict[str, tuple[str, str | dict[str, object]]] = {
    "epoch of null": ("state.json", {"epoch": None}),
    "epoch of letters": ("state.json", {"epoch": "three", "seconds": "long", "started": 5}),
    "half a character": ("state.json", {"error": "\ud83d"}),
    "git of letters": ("made_with.json", {"git": "0123456789", "data": "images"}),
    "a long field": ("metrics.csv", f"epoch,step,val/top1_error\n0,11,20\n1,22,{'9' * 140_000}\n"),
    "a date": ("config.yaml", "since: 2026-01-01\ntags: 5\n"),
    "a list": ("config.yaml", "data: [1]\nmodel: {architecture: {}}\n"),
    "a model alone": ("config.yaml", "model: {architecture: {}}\ndata: {}\n"),
    "no class": ("val_confusion.csv", "true\n"),
}


@pytest.mark.parametrize("kind", MUTATIONS)
def test_one_damaged_file_hides_nothing_else(evolved: Path, tmp_path: Path, convkit: Command, kind: str) -> None:
    name, change = MUTATIONS[kind]
    runs = tmp_path / "runs" / "quickstart"
    for number in "12":
        shutil.copytree(evolved, runs / number, ignore=shutil.ignore_patterns("evolution", "*.png"))
    place = runs / "2"
    if isinstance(change, dict):
        change = json.dumps({**json.loads((place / name).read_text()), **change})
    (place / name).write_text(change)
    whole = ["--explain", "none", "--patches", "none"] if name == "config.yaml" else ["--files_only"]
    result = convkit("report", place, "--out", "page.html", *whole)
    assert (result.status, result.err) == (0, "")
    assert name != "config.yaml" or "layers: " in result.out or "the network cannot be built" in result.out
    assert convkit("report", runs / "1", place, "--out", "page.html", "--files_only").status == 0
    rows = {row["name"]: row for row in json.loads(convkit("runs", "--sort", "epochs", "--json").out)}
    assert [*rows] == ["quickstart/1", "quickstart/2"]
    assert rows["quickstart/2"]["epochs"] == 3
    assert convkit("runs", "--sort", "seconds-").status == 0


def test_the_table_of_runs(evolved: Path, convkit: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    (row,) = json.loads(convkit("runs", evolved.parent.parent, "--json").out)
    assert (row["name"], row["state"], row["epochs"], row["tags"]) == ("quickstart/1", "finished", 3, ["watched"])
    assert row["seconds"] > 0
    found = [float(line.split(",")[0]) for line in _column(evolved / "metrics.csv", "val/top1_error")]
    assert row["error"] == min(found)
    assert row["resumed"] is False
    monkeypatch.delattr(yaml, "CSafeLoader", raising=False)  # of a PyYAML without libyaml
    text = convkit("runs", evolved.parent.parent, "--tag", "watched").out
    assert "quickstart/1  finished       3" in text
    assert convkit("runs", evolved.parent.parent, "--state", "crashed").out == "no runs\n"
    assert convkit("runs", "nowhere").err.endswith("there is no folder nowhere; name the folder of your runs\n")


def test_the_seconds_of_a_resumed_fit_are_those_since(tmp_path: Path, convkit: Command) -> None:
    for number, config in (("1", "name: made\n"), ("2", "name: made\nckpt_path: runs/made/1/checkpoints/last.ckpt\n")):
        place = tmp_path / "runs" / "made" / number
        place.mkdir(parents=True)
        (place / "config.yaml").write_text(config)
        (place / "state.json").write_text(json.dumps({"state": "finished", "epoch": 6, "seconds": 12.5}))
    assert [line.split()[-1] for line in convkit("runs").out.splitlines()[1:]] == ["12.50", "12.50+"]
    assert [row["resumed"] for row in json.loads(convkit("runs", "--json").out)] == [False, True]
    assert convkit("report", "runs/made/2", "--out", "page.html", "--files_only").status == 0
    assert "training, since it was resumed" in Path("page.html").read_text()


def test_one_run_that_cannot_be_read_at_all_is_a_line(
    evolved: Path, convkit: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(path: Path) -> None:
        raise RecursionError

    monkeypatch.setattr("convkit.cli.runs.read_state", fails)
    (row,) = json.loads(convkit("runs", evolved.parent.parent, "--json").out)
    assert (row["name"], row["state"], row["epochs"]) == ("quickstart/1", "unknown", None)


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
