"""Pictures as text that a page holds in itself: single ones, and many tiles of one size in one."""

import base64
import io
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from convkit.evolution.history import History, Moment

TILE = 64  # pixels: tiles of longer sides are made smaller
EXACT = 40  # sides up to this are too small for what a lossy code leaves
QUALITY = 84
Pixels = NDArray[np.uint8]


class Sheet(NamedTuple):
    """Tiles in rows and columns, each ``width`` by ``height`` pixels, in one ``data:`` address."""

    source: str
    width: int
    height: int


class Strips(NamedTuple):
    """A stage as it formed: at each epoch a sheet, a row a map: its strongest patch, and the projection."""

    epochs: list[int]
    maps: list[int]
    sheets: list[Sheet]


def inline(picture: Image.Image, exact: bool | None = None) -> str:
    """A ``data:`` address of the smallest that PNG and WebP make of it; without loss where it is ``exact``."""
    if exact is None:
        exact = max(picture.size) <= EXACT
    ways: list[tuple[str, dict[str, Any]]] = [("png", {"optimize": True}), ("webp", {"lossless": True, "method": 4})]
    if not exact:
        ways = [("webp", {"quality": QUALITY, "method": 4}), ("jpeg", {"quality": QUALITY, "optimize": True})]
    made = []
    for kind, options in ways:
        if kind == "jpeg" and picture.mode not in ("RGB", "L"):
            continue
        kept = io.BytesIO()
        picture.save(kept, kind, **options)
        made.append((len(kept.getvalue()), kind, kept.getvalue()))
    _, kind, data = min(made)
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


def pixels(values: NDArray[Any], seen: NDArray[Any] | None = None) -> Pixels:
    """C×H×W from 0 to 1 to H×W×4 bytes; what is not ``seen`` (H×W) lets the page through."""
    colours = values if len(values) == 3 else np.repeat(values[:1], 3, axis=0)
    shown = (np.clip(np.nan_to_num(colours.astype(np.float32)), 0, 1) * 255).round().astype(np.uint8).transpose(1, 2, 0)
    alpha = np.full(shown.shape[:2], 255, np.uint8) if seen is None else (seen * 255).astype(np.uint8)
    return np.dstack([shown, alpha])


def projected(way: NDArray[Any]) -> NDArray[np.float32]:
    """A projection from 0 to 1 by its own largest value: grey is nothing, and what is not finite."""
    wide = np.nan_to_num(way.astype(np.float32), posinf=0, neginf=0)
    return wide / (2 * max(float(np.abs(wide).max()), 1e-12)) + 0.5


def tiled(rows: Sequence[Sequence[Pixels]]) -> Sheet:
    """A sheet of H×W×4 tiles of one size, in rows of equal length."""
    height, width = rows[0][0].shape[:2]
    if max(height, width) > TILE:
        scale = TILE / max(height, width)
        height, width = max(1, round(height * scale)), max(1, round(width * scale))
        rows = [[_smaller(tile, width, height) for tile in row] for row in rows]
    whole = np.concatenate([np.concatenate(row, axis=1) for row in rows])
    grey = bool((whole[..., :1] == whole[..., 1:3]).all())
    picture = Image.fromarray(whole)
    if (whole[..., 3] == 255).all():
        picture = picture.convert("L" if grey else "RGB")
    # Colours of noise grow threefold without loss.
    return Sheet(inline(picture, max(width, height) <= (EXACT if grey else EXACT // 2)), width, height)


def _smaller(tile: Pixels, width: int, height: int) -> Pixels:
    resized = Image.fromarray(tile).resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(resized)


def strips(history: History) -> Strips:
    """All epochs of a stage."""
    return Strips(list(history.moments), history.maps, [_moment(moment) for moment in history.moments.values()])


def _moment(moment: Moment) -> Sheet:
    fields = zip(moment.patches, moment.projections, moment.seen, strict=True)
    return tiled([[pixels(patch / 255, seen), pixels(projected(way), seen)] for patch, way, seen in fields])
