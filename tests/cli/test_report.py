"""``convkit report`` and ``convkit runs``, and the page in a browser."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

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


def drawn(place: Any) -> str:
    picture: str = place.locator("canvas").first.evaluate("canvas => canvas.toDataURL()")
    return picture


def test_the_slider_changes_the_pictures(tab: Any) -> None:
    stage, slider = tab.locator("[data-strip]").first, tab.locator("input[data-strips]")
    tab.wait_for_selector("[data-strip][data-epoch='3']")
    last = drawn(stage)
    slider.focus()
    tab.keyboard.press("ArrowLeft")
    tab.wait_for_selector("[data-strip][data-epoch='2']")
    assert drawn(stage) != last
    assert stage.get_attribute("aria-label").endswith("epoch 2")
    assert slider.get_attribute("aria-valuetext") == "epoch 2"
    tab.keyboard.press("ArrowRight")
    tab.wait_for_selector("[data-strip][data-epoch='3']")
    assert drawn(stage) == last


def test_the_pictures_are_those_of_the_run(tab: Any, evolved: Path) -> None:
    """What the canvas has is the patch and the projection in the run's own arrays."""
    tab.wait_for_selector("[data-strip=conv3][data-epoch='3']")
    got = (
        tab.locator("[data-strip=conv3] canvas")
        .nth(5)
        .evaluate(
            """canvas => { const { width, height } = canvas;
            return [width, height, ...canvas.getContext("2d").getImageData(0, 0, width, height).data] }"""
        )
    )
    with np.load(evolved / "evolution" / "conv3.npz") as stored:
        patch, seen = stored["patches"][-1, 5, 0], stored["seen"][-1, 5]
        way = stored["projections"][-1, 5, 0].astype(float)
    image = np.array(got[2:]).reshape(got[1], got[0], 4)
    width = patch.shape[1]
    assert (image[:, :width, 0][seen] == patch[seen]).all()
    assert (image[:, :width, 3] == 255 * seen).all()
    grey = 255 * (way / (2 * np.abs(way).max()) + 0.5)
    assert np.abs(image[:, -width:, 0][seen] - grey[seen]).max() <= 1


def test_play_goes_through_the_epochs(tab: Any) -> None:
    tab.wait_for_selector("[data-strip][data-epoch='3']")
    tab.get_by_role("button", name="play").click()
    tab.wait_for_selector("[data-strip][data-epoch='1']")
    tab.wait_for_selector("[data-strip][data-epoch='3']", timeout=5000)
    tab.get_by_role("button", name="play").wait_for(timeout=3000)  # it has stopped by itself


def test_hovering_and_arrows_show_values(tab: Any) -> None:
    chart = tab.locator(".chart").first
    value = chart.locator(".legend b").first
    assert value.inner_text() == ""
    chart.locator(".u-over").hover()
    assert float(value.inner_text()) > 0
    tab.mouse.move(0, 0)
    chart.locator(".plot").focus()
    tab.keyboard.press("Home")
    spoken = chart.locator("[role=status]")
    first = spoken.text_content()
    assert first.startswith("epoch ")
    assert "train/loss" in first
    tab.keyboard.press("ArrowRight")
    assert spoken.text_content() != first


def test_log_scale_smoothing_axis_zoom_and_a_curve_that_is_hidden(tab: Any) -> None:
    chart = tab.locator(".chart").first
    other = tab.locator(".chart").nth(1)
    tab.wait_for_selector(".chart .u-over")
    seen, beside = [drawn(chart)], drawn(other)
    for change in (lambda: chart.get_by_text("log scale").click(),
                   lambda: tab.locator("#smoothing").fill("0.9"),
                   lambda: chart.locator(".legend input").first.uncheck(),
                   lambda: tab.locator("#axis").select_option("step")):  # fmt: skip
        change()
        tab.wait_for_timeout(50)
        seen.append(drawn(chart))
    assert len({*seen}) == 5
    beside, whole = drawn(other), seen[-1]
    box = chart.locator(".u-over").bounding_box()
    tab.mouse.move(box["x"] + 60, box["y"] + 50)
    tab.mouse.down()
    tab.mouse.move(box["x"] + 160, box["y"] + 60, steps=4)
    tab.mouse.up()
    tab.wait_for_timeout(50)
    assert drawn(chart) != whole
    assert drawn(other) != beside  # charts of one axis are zoomed as one
    chart.locator(".u-over").dblclick()
    tab.wait_for_timeout(50)
    assert drawn(other) == beside


def test_the_pictures_behind_a_number(tab: Any) -> None:
    for split in ("val", "test"):
        panel = tab.locator(f"[data-behind='0,{split}']")
        assert panel.locator("img").count() > 0  # those of the most frequent confusion
        for button in tab.locator(f"button[data-cell^='0,{split},']").all()[:4]:
            button.click()
            assert panel.locator("img").count() == min(int(button.inner_text()), 6)
            words = button.get_attribute("aria-label").removesuffix(": show")
            assert panel.inner_text().startswith(words)
    focused = "document.activeElement.dataset.cell"
    before = tab.evaluate(focused)
    tab.keyboard.press("ArrowDown")
    assert tab.evaluate(focused) != before


def test_labels_are_text_in_the_browser_too(browser: Any, tmp_path: Path, convkit: Command) -> None:
    run = tmp_path / "runs" / "<b>hostile" / "1"
    run.mkdir(parents=True)
    label = '</script><script>document.title = "owned"</script><img src=x onerror=alert(1)>'
    (run / "config.yaml").write_text(yaml.safe_dump({"tags": [label], "data": label}))
    (run / "metrics.csv").write_text(f'epoch,step,"train/{label}"\n0,1,2\n1,2,1\n')
    (run / "val_confusion.csv").write_text(f't,"{label.replace(chr(34), chr(34) * 2)}",b\na,1,2\nb,0,3\n')
    assert convkit("report", run, "--out", "page.html", "--files_only").status == 0
    page, said = browser.new_page(), []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: said.append(dialog.message))
    page.goto((tmp_path / "page.html").as_uri())
    page.wait_for_timeout(200)
    assert page.title() == "<b>hostile/1 · convkit"
    assert (said, page.locator("img").count()) == ([], 0)
    assert "onerror=alert(1)" in page.locator(".confusion").inner_text()
    page.close()


def test_several_runs_in_one_page(browser: Any, evolved: Path, tmp_path: Path, convkit: Command) -> None:
    other = tmp_path / "runs" / "other" / "1"
    shutil.copytree(evolved, other)
    assert convkit("report", evolved, other, "--out", "page.html", "--files_only").status == 0
    page, said = browser.new_page(), []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto((tmp_path / "page.html").as_uri())
    assert "quickstart/1, other/1" in page.locator("#results tbody").inner_text()
    assert page.locator("#charts .chart").first.locator(".legend label").count() == 2
    page.locator("#run-1 details.parts > summary").click()
    page.locator("#run-1 [data-settling] .u-over").first.wait_for()
    assert said == []
    page.close()


def test_what_other_commands_left_in_the_run_is_shown(evolved: Path, tmp_path: Path, convkit: Command) -> None:
    run = tmp_path / "runs" / "mine" / "1"
    shutil.copytree(evolved, run)
    assert convkit("explain", run, "--method", "saliency", "--out", run / "looks", "--count", "3").status == 0
    assert convkit("patches", run, "--stage", "conv1", "--out", run / "strongest").status == 0
    assert convkit("report", run, "--out", "page.html", "--files_only").status == 0
    text = Path("page.html").read_text()
    assert "saliency" in text
    assert "strongest/conv1-1.png" in text
    assert text.count('class="pair"') == 3
    (run / "looks" / "0000_map.png").write_bytes(b"not any more")
    assert (
        "looks: what convkit explain left there cannot be read"
        in convkit("report", run, "--out", "page.html", "--files_only").out
    )


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "light"), (390, "dark"), (1280, "dark")])
def test_axe_finds_nothing_and_a_phone_is_wide_enough(browser: Any, html: Path, width: int, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")
    page = browser.new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
    page.goto(html.as_uri())
    page.wait_for_selector(".chart .u-over")
    for summary in page.locator("summary").all():
        summary.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    found = [(each["id"], each["nodes"][0]["html"]) for each in axe.Axe().run(page).response["violations"]]
    assert not found
    page.close()
