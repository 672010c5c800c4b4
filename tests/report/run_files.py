"""A run's files, made up; the page of them."""

import base64
import io
import json
from pathlib import Path

import yaml
from PIL import Image

from convkit.report.page.facts import Facts, read
from convkit.report.page.page import Section, page


def make(place: Path, error: float = 20.0, **config: object) -> Path:
    """A run's files: two epochs of ten steps, the rate dropped after the first."""
    place.mkdir(parents=True)
    (place / "config.yaml").write_text(yaml.safe_dump({"seed_everything": 0, "model": {"lr": 0.1}, **config}))
    (place / "state.json").write_text(json.dumps({"state": "finished", "epoch": 2, "seconds": 7.0}))
    (place / "metrics.csv").write_text(
        "epoch,lr/all,step,test/top1_error,train/loss,val/loss,val/top1_error\n"
        f"0,0.1,10,,2.0,,\n0,,10,,,1.5,{error + 5}\n1,0.01,20,,1.0,,\n1,,20,,,0.9,{error}\n2,,20,{error + 1},,,\n"
    )
    return place


def built(*places: Path) -> str:
    return page([Section(read(place)) for place in places], "made now")


def facts(tmp_path: Path, *errors: float, **config: object) -> list[Facts]:
    return [
        read(make(tmp_path / f"of{len(config)}" / str(index), error, seed_everything=index, **config))
        for index, error in enumerate(errors, 1)
    ]


def decoded(source: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2])))
