"""The page of ``convkit report`` in a browser."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from conftest import Command

FIXED = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip


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


def test_hostile_classes_behind_a_number(
    browser: Any, tmp_path: Path, convkit: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole page, of a network that was trained on classes with such names."""
    label = '</script><script>document.title = "owned"</script><img src=x onerror=alert(1)>'
    (tmp_path / "hostile_digits.py").write_text(
        "from convkit.datasets.digits import Digits\n"
        "class Hostile(Digits):\n"
        f"    class_names = [{label!r} + str(index) for index in range(10)]\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    options = ["--data", "hostile_digits.Hostile", "--data.size", "16", "--trainer.max_epochs", "1"]
    assert convkit("fit", "--config", "quickstart", *options, "--wandb", "off").status == 0
    assert convkit("report", "runs/quickstart/1", "--out", "page.html").status == 0
    page, said = browser.new_page(), []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: said.append(dialog.message))
    page.on("request", lambda request: said.extend([] if request.url.startswith(("data:", "file:")) else [request.url]))
    page.goto((tmp_path / "page.html").as_uri())
    for split in ("val", "test"):
        panel = page.locator(f"[data-behind='0,{split}']")
        for button in page.locator(f"button[data-cell^='0,{split},']").all()[:3]:
            button.click()
            assert label in panel.inner_text()
            assert panel.locator("img").count() == min(int(button.inner_text()), 6)
    page.get_by_text("Classes (10)").first.click()
    table = page.locator("table[data-sortable]").first
    column = table.locator("tbody tr td:nth-child(3)")
    shares = [float(text) for text in column.all_inner_texts()]
    assert shares == sorted(shares)
    table.get_by_role("button", name="accuracy").click()
    assert [float(text) for text in column.all_inner_texts()] == sorted(shares, reverse=True)
    assert page.locator("img[src='x']").count() == 0
    assert (page.title(), said) == ("quickstart/1 · convkit", [])
    page.close()


def test_a_shorter_run_has_no_value_past_its_end(browser: Any, evolved: Path, tmp_path: Path, convkit: Command) -> None:
    short = tmp_path / "runs" / "short" / "1"
    shutil.copytree(evolved, short)
    head, *rows = (short / "metrics.csv").read_text().splitlines(keepends=True)
    at = head.strip().split(",").index("epoch")
    (short / "metrics.csv").write_text("".join([head, *(row for row in rows if float(row.split(",")[at]) < 2)]))
    assert convkit("report", evolved, short, "--out", "page.html", "--files_only").status == 0
    page = browser.new_page()
    page.goto((tmp_path / "page.html").as_uri())
    chart = page.locator(".chart").first
    chart.locator(".u-over").wait_for()
    chart.locator(".plot").focus()
    values = chart.locator(".legend b")
    page.keyboard.press("End")
    assert float(values.nth(0).inner_text()) > 0
    assert values.nth(1).inner_text() == ""
    assert "short/1" not in chart.locator("[role=status]").text_content()
    page.keyboard.press("Home")
    assert float(values.nth(1).inner_text()) > 0
    page.close()


def test_several_runs_in_one_page(browser: Any, evolved: Path, tmp_path: Path, convkit: Command) -> None:
    other = tmp_path / "runs" / "other" / "1"
    shutil.copytree(evolved, other)
    config = yaml.safe_load((other / "config.yaml").read_text())
    (other / "config.yaml").write_text(
        yaml.safe_dump({**config, "seed_everything": 7})
    )  # or it would count for nothing
    assert convkit("report", evolved, other, "--out", "page.html", "--files_only").status == 0
    page, said = browser.new_page(), []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto((tmp_path / "page.html").as_uri())
    assert "quickstart/1, other/1" in page.locator("#results tbody").first.inner_text()
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
