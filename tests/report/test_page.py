"""The page's facts from a run's files, whatever is in them; what several runs have in common."""

import base64
import io
import json
import math
import re
import statistics
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from convkit.errors import UserError
from convkit.report.page.compare import differences, groups
from convkit.report.page.facts import Facts, read
from convkit.report.page.page import Section, page
from convkit.report.page.panels import POINTS, panels
from convkit.report.page.pictures import TILE, Sheet, Strips, inline, pixels, tiled
from convkit.report.page.told import about, numbers

HOSTILE = '</script><script>document.title = "owned"</script><img src=x onerror=alert(1)>'


def make(place: Path, error: float = 20.0, **config: object) -> Path:
    """A run's files: two epochs of ten steps, the rate dropped after the first."""
    place.mkdir(parents=True)
    (place / "config.yaml").write_text(yaml.safe_dump({"seed_everything": 0, "model": {"lr": 0.1}, **config}))
    (place / "metrics.csv").write_text(
        "epoch,lr/all,step,test/top1_error,train/loss,val/loss,val/top1_error\n"
        f"0,0.1,10,,2.0,,\n0,,10,,,1.5,{error + 5}\n1,0.01,20,,1.0,,\n1,,20,,,0.9,{error}\n2,,20,{error + 1},,,\n"
    )
    return place


def built(*places: Path) -> str:
    return page([Section(read(place)) for place in places], "made now")


def test_facts_of_a_run(tmp_path: Path) -> None:
    facts = read(make(tmp_path / "small" / "1"))
    assert facts.name == "small/1"
    assert facts.best == (20.0, 2)  # the test's own row, at the same step, is of no epoch
    assert facts.last("test/top1_error") == 21.0
    assert [(step, text) for step, text, _ in facts.drops] == [(20.0, "lr/all 0.1 → 0.01")]
    assert facts.drops[0][2] == pytest.approx(10)
    assert facts.steps_per_epoch == 10
    assert facts.config == {"seed_everything": 0, "model.lr": 0.1}


def test_a_smooth_descent_is_no_drop(tmp_path: Path) -> None:
    place = make(tmp_path / "small" / "1")
    rates = [0.1 * (1 + math.cos(math.pi * step / 100)) / 2 for step in range(100)]
    assert rates[-1] < 0.5 * rates[-2]
    rows = "".join(f"0,{rate},{step}\n" for step, rate in enumerate(rates))
    (place / "metrics.csv").write_text("epoch,lr/all,step\n" + rows)
    assert read(place).drops == []


@pytest.mark.parametrize(
    ("name", "text", "note"),
    [
        ("metrics.csv", None, "no metrics were written"),
        ("metrics.csv", "", "metrics.csv has no rows"),
        ("metrics.csv", "epoch,step,train/loss\n0,10,2.0\n0,20,1.", "the last line of metrics.csv was cut"),
        ("metrics.csv", "epoch,step,train/loss\n0,10,2.0\n0,20,nan\n", "train/loss is not finite at step 20"),
        ("metrics.csv", "epoch,step,train/loss\n0,10,2.0\n0,20,1.5\n", ""),
        (
            "metrics.csv",
            "epoch,step,train/loss\n0,10,2.0\n1,2x,3\n1,30,0.5.\n",
            "2 cells of metrics.csv are no numbers",
        ),
        ("metrics.csv", "epoch,step,train/loss\n0,10,nan\n\0\0\0\n", "cells of metrics.csv are no numbers"),
        ("val_confusion.csv", "true,a,b\na,3,1\nb,1", "val_confusion.csv cannot be read"),
        ("evolution/settling.csv", "stage,epoch\nconv1,1", "settling.csv cannot be read"),
    ],
)
def test_what_is_half_written_is_told(tmp_path: Path, name: str, text: str | None, note: str) -> None:
    place = make(tmp_path / "small" / "1")
    (place / name).parent.mkdir(exist_ok=True)
    if text is None:
        (place / name).unlink()
    else:
        (place / name).write_text(text)
    facts = read(place)
    assert any(note in each for each in facts.notes) if note else not facts.notes
    assert "made now" in built(place)


def test_a_configuration_that_cannot_be_read(tmp_path: Path) -> None:
    place = make(tmp_path / "small" / "1")
    (place / "config.yaml").write_text("a: [1")
    with pytest.raises(UserError, match=r"config\.yaml cannot be read"):
        read(place)


def test_nothing_of_a_label_becomes_markup(tmp_path: Path) -> None:
    place = make(tmp_path / "small" / "1", data=HOSTILE)
    (place / "val_confusion.csv").write_text(f'true,"{HOSTILE.replace(chr(34), chr(34) * 2)}",b\na,3,1\nb,1,2\n')
    text = page(
        [Section(read(place), strips={HOSTILE: Strips([1], [0], [Sheet("data:image/webp;base64,AAAA", 4, 4)])})],
        HOSTILE,
    )
    assert "<img src=x" not in text
    assert text.count("<script") == text.count("</script>") == 4
    held = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert held
    assert [*json.loads(held[1])["strips"][0]] == [HOSTILE]


def test_no_address_is_allowed_and_none_is_there(tmp_path: Path) -> None:
    text = built(make(tmp_path / "small" / "1"))
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy
    assert "default-src &#39;none&#39;" in policy[1]
    assert "script-src &#39;sha256-" in policy[1]
    assert "unsafe-inline" not in policy[1].split("script-src")[1]
    assert not re.findall(r'(?:src|href)="(?!data:|#)', text)


def facts(tmp_path: Path, *errors: float, **config: object) -> list[Facts]:
    return [
        read(make(tmp_path / f"of{len(config)}" / str(index), error, seed_everything=index, **config))
        for index, error in enumerate(errors, 1)
    ]


def test_seeds_are_taken_together(tmp_path: Path) -> None:
    errors = (20.0, 22.0, 21.5)
    one, other = groups([*facts(tmp_path, *errors), *facts(tmp_path, 30.0, model={"lr": 0.2})])
    assert one.runs == ["of0/1", "of0/2", "of0/3"]
    assert one.about == ["model.lr: 0.1"]
    assert one.cells[0] == f"{statistics.mean(errors):.2f} ± {statistics.stdev(errors):.2f} (n = 3)"
    assert (other.runs, other.about, other.cells[0]) == (["of1/1"], ["model.lr: 0.2"], "30.00")


def test_what_they_differ_in(tmp_path: Path) -> None:
    runs = [*facts(tmp_path, 20.0, name="a", wandb="off"), *facts(tmp_path, 20.0, 21.0, model={"lr": 0.2})]
    assert differences(runs) == [("model.lr", ["0.1", "0.2", "0.2"]), ("seed_everything", ["1", "1", "2"])]


def test_the_head_tells_what_is_known(tmp_path: Path) -> None:
    place = make(
        tmp_path / "small" / "1", trainer={"max_epochs": 3}, data={"class_path": "convkit.datasets.digits.Digits"}
    )
    plugin = {"kind": "datasets", "name": "mine", "distribution": "their-images", "version": "1.2"}
    git = {"revision": "0123456789abcdef", "changed": True}
    made = {"convkit": "0.1.0", "torch": "2.15", "git": git, "plugins": [plugin], "data": {"sha256": "f" * 64}}
    (place / "made_with.json").write_text(json.dumps(made))
    told = dict(about(read(place)))
    assert told["epochs"] == "2 of 3"
    assert (told["data"], told["seed"]) == ("Digits", "0")
    assert told["made with"] == "convkit 0.1.0, torch 2.15, their-images 1.2"
    assert (told["revision"], told["data's fingerprint"]) == ("0123456789 and changes", "f" * 12)
    (place / "made_with.json").write_text('{"plugins": 3')
    assert "made with" not in dict(about(read(place)))


def test_the_numbers_by_epoch(tmp_path: Path) -> None:
    names, rows = numbers(read(make(tmp_path / "small" / "1")))
    assert names == ["lr/all", "train/loss", "val/loss", "val/top1_error"]
    assert rows == [(1, ["0.1", "2", "1.5", "25"]), (2, ["0.01", "1", "0.9", "20"])]


def test_a_long_curve_keeps_its_peaks(tmp_path: Path) -> None:
    place = make(tmp_path / "small" / "1")
    values = [1.0] * 50_000
    values[31_234] = 77.0
    (place / "metrics.csv").write_text(
        "epoch,step,train/loss\n" + "".join(f"0,{step},{value}\n" for step, value in enumerate(values))
    )
    ((series,),) = (panel["series"] for panel in panels([read(place)]))
    assert len(series["x"]) == len(series["y"]) <= POINTS + 2
    assert series["x"] == sorted(series["x"])
    assert series["x"][series["y"].index(77.0)] == 31_234


def test_several_runs_have_a_chart_a_metric(tmp_path: Path) -> None:
    found = panels(facts(tmp_path, 20.0, 22.0))
    assert [panel["title"] for panel in found] == ["train/loss", "val/loss", "val/top1_error", "lr/all"]
    assert [series["label"] for series in found[0]["series"]] == ["of0/1", "of0/2"]


def decoded(source: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2])))


@pytest.mark.parametrize("colours", [1, 3])
def test_tiles_keep_their_pixels_where_they_are_small(colours: int) -> None:
    random = np.random.default_rng(0)
    tiles = random.integers(0, 256, (2, 3, colours, 12, 9)) / 255
    seen = random.random((2, 3, 12, 9)) > 0.3
    sheet = tiled([[pixels(*pair) for pair in zip(*row, strict=True)] for row in zip(tiles, seen, strict=True)])
    assert (sheet.width, sheet.height) == (9, 12)
    whole = np.asarray(decoded(sheet.source).convert("RGBA"))
    for row, column in np.ndindex(2, 3):
        got = whole[12 * row : 12 * row + 12, 9 * column : 9 * column + 9]
        inside = seen[row, column]
        assert ((got[..., 3] == 255) == inside).all()
        wanted = np.broadcast_to((tiles[row, column] * 255).round(), (3, 12, 9))
        assert (got[..., :3].transpose(2, 0, 1)[:, inside] == wanted[:, inside]).all()


def test_large_tiles_are_made_smaller_and_the_smallest_code_is_taken() -> None:
    sheet = tiled([[pixels(np.full((3, 224, 112), 0.5))]])
    assert (sheet.width, sheet.height) == (TILE // 2, TILE)
    assert decoded(sheet.source).size == (TILE // 2, TILE)
    flat = Image.new("L", (30, 30), 7)
    kept = {}
    for kind, options in (("png", {"optimize": True}), ("webp", {"lossless": True, "method": 4})):
        file = io.BytesIO()
        flat.save(file, kind, **options)
        kept[kind] = len(file.getvalue())
    assert inline(flat).startswith(f"data:image/{min(kept, key=kept.__getitem__)};base64,")
