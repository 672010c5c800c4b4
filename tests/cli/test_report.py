"""``convkit report`` and ``convkit runs``, and the page in a browser."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import SMALL, Command
from convkit.cli.front import main

FIXED = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip


@pytest.fixture(scope="module")
def evolved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three epochs with strips of its features. For reading only."""
    runs = tmp_path_factory.mktemp("evolved") / "runs"
    options = ["--runs", str(runs), "--trainer.max_epochs", "3", "--model.schedule.lr", "0.05", "--tags+=watched",
               "--trainer.callbacks+=FeatureEvolution", "--trainer.callbacks.epochs", "[1,2,3]"]  # fmt: skip
    assert main(["fit", *SMALL, *options]) == 0
    return runs / "quickstart" / "1"


@pytest.fixture(scope="module")
def html(evolved: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("page") / "page.html"
    assert main(["report", str(evolved), "--out", str(out)]) == 0
    return out


def test_the_page_holds_everything_and_is_small(html: Path) -> None:
    text = html.read_text(encoding="utf-8")
    for part in ("Curves", "When each stage settles", "Features as they form", "Validation: which classes",
                 "grad_cam of", "Top patches of", "Layers (", "Configuration"):  # fmt: skip
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


# -- in a browser ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs the Python package playwright")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("needs chromium")
    with sync_api.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=chromium, args=FIXED)
        yield opened
        opened.close()


@pytest.fixture
def tab(browser: Any, html: Path) -> Iterator[Any]:
    """The page, open; what goes wrong in it or leaves it fails the test."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(html.as_uri())
    yield page
    assert not said
    assert [url for url in asked if not url.startswith("data:")] == [html.as_uri()]
    page.close()


def test_the_slider_changes_the_pictures(tab: Any) -> None:
    picture, slider = tab.locator("img[data-strip]").first, tab.locator("input[data-strips]")
    last = picture.get_attribute("src")
    slider.focus()
    tab.keyboard.press("ArrowLeft")
    assert picture.get_attribute("src") != last
    assert picture.get_attribute("alt").endswith("epoch 2")
    tab.keyboard.press("ArrowRight")
    assert picture.get_attribute("src") == last


def test_hovering_and_arrows_show_values(tab: Any) -> None:
    chart = tab.locator(".chart").first
    assert chart.locator(".readout").inner_text() == ""
    chart.locator(".u-over").hover()
    assert "train/loss" in chart.locator(".readout").inner_text()
    tab.mouse.move(0, 0)
    chart.locator(".plot").focus()
    tab.keyboard.press("Home")
    first = chart.locator(".readout").inner_text()
    tab.keyboard.press("ArrowRight")
    assert chart.locator(".readout").inner_text() != first
    assert first.startswith("step ")


def test_log_scale_smoothing_and_a_curve_that_is_hidden(tab: Any) -> None:
    chart = tab.locator(".chart").first

    def drawn() -> str:
        picture: str = chart.locator("canvas").evaluate("canvas => canvas.toDataURL()")
        return picture

    seen = [drawn()]
    for change in (lambda: chart.get_by_text("log scale").click(),
                   lambda: tab.locator("#smoothing").fill("0.9"),
                   lambda: chart.locator(".legend input").first.uncheck()):  # fmt: skip
        change()
        tab.wait_for_timeout(50)
        seen.append(drawn())
    assert len({*seen}) == 4


def test_the_pictures_behind_a_number(tab: Any) -> None:
    button = tab.locator("button[data-cell]").first
    count = int(button.inner_text())
    button.click()
    shown = tab.locator(".behind").first
    assert shown.locator("img").count() == min(count, 6)
    assert "taken for" in shown.inner_text()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "light"), (1280, "dark")])
def test_axe_finds_nothing_and_a_phone_is_wide_enough(browser: Any, html: Path, width: int, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")
    page = browser.new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
    page.goto(html.as_uri())
    for summary in page.locator("summary").all():
        summary.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    found = [(each["id"], each["nodes"][0]["html"]) for each in axe.Axe().run(page).response["violations"]]
    assert not found
    page.close()
