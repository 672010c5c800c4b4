"""What the pictures of a page stand on: explained images, top patches, and what earlier commands left in the run."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from convkit.report.page.pictures import Sheet, inline

PAGES = 12  # of ``convkit patches`` that are shown
IMAGES = 16  # of ``convkit explain``


class Card(NamedTuple):
    """An explained image: what is said of it, and its pictures, each with what it is."""

    title: str
    about: str
    pictures: list[tuple[str, str]]  # alternative text, address


class Explanation(NamedTuple):
    """Cards of one method."""

    title: str
    cards: list[Card]


class Patches(NamedTuple):
    """Of a stage's maps the strongest patches: a row of the sheet a map, ``top`` patches, then as many projections."""

    stage: str
    split: str
    maps: list[str]
    top: int
    projected: bool
    sheet: Sheet


class Page(NamedTuple):
    """A picture that the fit or ``convkit patches`` has drawn."""

    title: str
    source: str


class Layer(NamedTuple):
    """A row of the table of layers, as text."""

    name: str
    type: str
    output: str
    parameters: str
    macs: str
    sees: str


def card(
    label: str | None, name: str, predicted: str, target: str, score: float, pictures: list[tuple[str, str]]
) -> Card:
    """``label``: the image's class, where it is known."""
    known = name if label is None else label
    about = "" if label == predicted else f"taken for {predicted}"
    shown = f"{score:{'.3g' if abs(score) < 1000 else '.0f'}} for {target}"
    return Card(known, f"{about}; {shown}" if about else shown, pictures)


def left_explanation(manifest: Path, notes: list[str]) -> Explanation | None:
    """What ``convkit explain`` wrote beside ``manifest``; None, and a note, where that is no longer whole."""
    try:
        told: dict[str, Any] = json.loads(manifest.read_text(encoding="utf-8"))
        cards = []
        for row in told["images"][:IMAGES]:
            names = {"overlay": "the map over the image", "map": "the map"}
            files = [(text, inline(_opened(manifest.parent / row[key]))) for key, text in names.items() if key in row]
            label = None if row["label"] is None else str(row["label"])
            cards.append(card(label, row["name"], row["predicted"], row["target"], row["score"], files))
        stage = f" · {told['stage']}" if told.get("stage") else ""
        return Explanation(f"{told['method']}{stage}", cards)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SyntaxError) as error:
        notes.append(f"{manifest.parent.name}: what convkit explain left there cannot be read ({type(error).__name__})")
        return None


def left_patches(folder: Path, notes: list[str]) -> list[Page]:
    """The first pages that ``convkit patches`` drew in ``folder``."""
    found = []
    for file in sorted(folder.glob("*.png"))[:PAGES]:
        try:
            found.append(Page(f"{folder.name}/{file.name}", inline(_opened(file), exact=False)))
        except (OSError, ValueError, SyntaxError) as error:
            notes.append(f"{folder.name}/{file.name} cannot be read: {' '.join(str(error).split())}")
    return found


def left_picture(file: Path, title: str, notes: list[str], exact: bool | None = None) -> Page | None:
    """A picture that the fit has left; None where it has not, and a note where it is no longer whole."""
    if not file.is_file():
        return None
    try:
        return Page(title, inline(_opened(file), exact))
    except (OSError, ValueError, SyntaxError) as error:  # the last is Pillow's word for a PNG that is none
        notes.append(f"{file.name} cannot be read: {' '.join(str(error).split())}")
        return None


def _opened(file: Path) -> Image.Image:
    with Image.open(file) as picture:
        return picture.convert("L" if picture.mode == "L" else "RGB")
