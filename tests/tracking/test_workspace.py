"""The dashboard: what it is made of, for W&B's own package and in print."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from convkit.cli.front import main
from convkit.tracking import show
from convkit.tracking.dashboard import KINDS, definition, sections, workspace
from convkit.tracking.show import Place

VIEWS = {
    "lines": "Run History Line Plot",
    "curves": "Run History Line Plot",
    "lowest": "Bar Chart",
    "last": "Bar Chart",
    "pictures": "Media Browser",
    "table": "Weave",
    "confusion": "Vega2",
    "differences": "Run Comparer",
}


def made(stages: list[str]) -> list[dict[str, Any]]:
    model = workspace("me", "nets", stages)._to_model().model_dump(by_alias=True, exclude_none=True)
    found: list[dict[str, Any]] = model["spec"]["section"]["panelBankConfig"]["sections"]
    return found


def test_the_workspace_is_the_definition() -> None:
    stages = ["conv1", "layer1"]
    found, wanted = made(stages), definition("me", "nets", stages)["sections"]
    assert [section["name"] for section in found] == list(wanted)
    for section, panels in zip(found, wanted.values(), strict=True):
        assert len(section["panels"]) == len(panels)
        for view, panel in zip(section["panels"], panels, strict=True):
            assert view["viewType"] == VIEWS[panel["kind"]]
            text = json.dumps(view["config"])
            for key in panel["keys"]:
                assert json.dumps(key)[1:-1] in text, (panel, text)
            if panel["kind"] in ("lines", "curves"):
                assert view["config"]["xAxis"] == "trainer/global_step"
                assert view["config"]["yLogScale"] == panel["log"]


def test_every_kind_is_used_and_known() -> None:
    assert {panel.kind for panels in sections().values() for panel in panels} == set(KINDS) == set(VIEWS)


def test_print(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dashboard", "--entity", "me", "--project", "nets", "--stages", "conv1,conv3", "--print"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("workspace 'convkit' of me/nets\n")
    assert "conv3, epoch by epoch" in out
    assert "conv2" not in out
    assert main(["dashboard", "--entity", "me", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == definition("me", "convkit")


def features(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    """The keys of the pictures by stage that a definition has."""
    capsys.readouterr()
    assert main(["dashboard", "--entity", "me", *words, "--json"]) == 0
    panels = json.loads(capsys.readouterr().out)["sections"]["Features"]
    return [key for panel in panels for key in panel["keys"] if key.startswith("evolution/")]


def test_it_shows_all_that_a_run_logs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    logged: set[str] = set()
    for what in ("picture", "table", "confusion"):
        kept = getattr(show, what)

        def noted(loggers: Any, place: Place, *given: Any, of: Any = kept, what: str = what) -> None:
            logged.add(place.key + "_table" * (what == "confusion"))
            of(loggers, place, *given)

        monkeypatch.setattr(show, what, noted)
    words = ["--config=quickstart", "--data.size=16", "--data.batch_size=128", "--trainer.max_epochs=1", "--wandb=off"]
    assert main(["fit", *words, "--trainer.callbacks+=FeatureEvolution", "--test_at_end=true"]) == 0
    capsys.readouterr()
    assert main(["dashboard", "--entity", "me", "--run", "runs/quickstart", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert logged <= {key for panels in found["sections"].values() for panel in panels for key in panel["keys"]}
    recorded = features(capsys, "--run=runs/quickstart/1")
    assert recorded[:3] == ["evolution/settling", "evolution/conv1", "evolution/conv1_strip"]
    Path("runs/quickstart/1/evolution/settling.csv").unlink()
    assert features(capsys, "--run=runs/quickstart/1") == recorded  # of the network itself
    only = features(capsys, "--stages=conv3, ")
    assert only == ["evolution/settling", "evolution/conv3", "evolution/conv3_strip"]


@pytest.mark.parametrize("words", [["--print"], []])
def test_without_the_extra(words: list[str]) -> None:
    code = (
        "import sys; sys.modules['wandb_workspaces'] = None\n"
        "from convkit.cli.front import main\n"
        f"status = main(['dashboard', '--entity', 'me', *{words!r}])\n"
        "assert not {'torch', 'lightning', 'wandb'} & set(sys.modules)\n"
        "sys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if words:
        assert (done.returncode, done.stderr) == (0, "")
    else:
        assert done.returncode == 2
        assert done.stderr == (
            "convkit: error: convkit dashboard needs the extra dashboard: pip install 'convkit[dashboard]' "
            "(--print does without)\n"
        )


def test_a_mistake_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["--entity", "me", "--projct", "p"], ["--entity=me", "--run=a", "--stages=b"]):
        assert main(["dashboard", *words]) == 2
        error = capsys.readouterr().err
        assert error.startswith("convkit: error: dashboard: ")
        assert error.count("\n") == 1
    assert main(["dashboard", "--entity", "me", "--run", "nowhere"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("convkit: error: there is no run nowhere")
    assert error.count("\n") == 1
