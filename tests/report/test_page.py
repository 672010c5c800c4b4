"""What a page draws: labels as text, charts, tables, pictures."""

import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from run_files import built, decoded, make

from convkit.report.page.cards import left_picture
from convkit.report.page.facts import read
from convkit.report.page.page import Section, page
from convkit.report.page.panels import POINTS, panels
from convkit.report.page.pictures import TILE, Sheet, Strips, inline, pixels, tiled
from convkit.report.page.pictures import projected as scaled

HOSTILE = '</script><script>document.title = "owned"</script><img src=x onerror=alert(1)>'


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


@pytest.mark.parametrize("count", [2, 40])
def test_every_class_is_told(tmp_path: Path, count: int) -> None:
    place = make(tmp_path / "small" / "1")
    names = [f"c{index}" for index in range(count)]
    rows = [[0] * count for _ in names]
    for index in range(count - 1):  # the last has no images
        rows[index][index], rows[index][(index + 1) % count] = 3, int(index == 0)
    lines = [
        ",".join(["true", *names]),
        *(",".join([name, *map(str, row)]) for name, row in zip(names, rows, strict=True)),
    ]
    (place / "val_confusion.csv").write_text("\n".join(lines) + "\n")
    (place / "test_classes.json").write_text(json.dumps({"x": 0.905, "y": None}))
    found = read(place)
    assert found.classes["val"][0] == ("c0", 4, 75.0, "c1 (1)")
    assert found.classes["val"][-1] == (names[-1], 0, None, "")
    assert len(found.classes["val"]) == count
    assert [row[:3] for row in found.classes["test"]] == [("x", None, 90.5), ("y", None, None)]
    text = built(place)
    assert f"Classes ({count})" in text
    assert '<th scope="row">c0</th><td class="number">4</td><td class="number">75.0</td><td>c1 (1)</td>' in text


def test_pictures_that_the_fit_left(tmp_path: Path) -> None:
    file, notes = tmp_path / "first_filters.png", list[str]()
    assert left_picture(file, "Filters", notes) is None
    image = np.random.default_rng(0).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    Image.fromarray(image).save(file)
    made = left_picture(file, "Filters", notes, exact=True)
    assert made is not None
    assert (np.asarray(decoded(made.source).convert("RGB")) == image).all()
    assert notes == []
    for damaged in (file.read_bytes()[:2000], b"", b"not a picture"):
        file.write_bytes(damaged)
        assert left_picture(file, "Filters", notes) is None
    assert len(notes) == 3


def test_what_is_not_finite_is_drawn_as_nothing() -> None:
    way = np.array([[[np.nan, np.inf, 1.0]]], np.float16)
    assert np.array_equal(scaled(way), [[[0.5, 0.5, 1.0]]])
    assert pixels(np.array([[[np.nan, 1.0]]]))[0, :, 0].tolist() == [0, 255]


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


def test_time_and_speed_have_charts_of_their_own(tmp_path: Path) -> None:
    place = make(tmp_path / "small" / "1")
    (place / "metrics.csv").write_text(
        "epoch,step,grad_norm/conv1,time/epoch,time/images_per_second\n0,10,5,3.0,20000\n1,20,0.1,2.9,21000\n"
    )
    assert [(panel["title"], panel["unit"], panel["log"]) for panel in panels([read(place)])] == [
        ("Gradient norm", "of all parameters of a stage, before clipping", True),
        ("Time of an epoch", "seconds", False),
        ("Speed", "images per second", False),
    ]
    found = panels([read(place), read(make(tmp_path / "small" / "2"))])
    units = {panel["title"]: panel["unit"] for panel in found}
    assert (units["time/epoch"], units["time/images_per_second"]) == ("seconds", "images per second")


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
