"""Pictures as text that a page holds in itself."""

import base64
import io

from PIL import Image

from convkit.evolution.history import History
from convkit.report.features import Block, patches_page

LOSSLESS = 40  # pixels: sides up to this are too small for what a lossy code leaves


def inline(picture: Image.Image, quality: int = 82) -> str:
    """A ``data:`` address: WebP, without loss where the picture is tiny."""
    kept = io.BytesIO()
    picture.save(kept, "WEBP", quality=quality, lossless=max(picture.size) <= LOSSLESS, method=4)
    return "data:image/webp;base64," + base64.b64encode(kept.getvalue()).decode("ascii")


def strips(history: History) -> list[tuple[int, str]]:
    """Of a stage, by epoch: for each map the projection, and the patch of the image that excited it most."""
    import torch

    found = []
    for epoch, moment in history.moments.items():
        patches, ways, seen = (torch.from_numpy(getattr(moment, name)) for name in ("patches", "projections", "seen"))
        blocks = [
            Block(
                f"map {channel}", patches[index : index + 1] / 255, ways[index : index + 1].float(), seen[index][None]
            )
            for index, channel in enumerate(history.maps)
        ]
        page = patches_page(
            blocks, f"{history.stage}, epoch {epoch}: projection and patch of each map's strongest unit"
        )
        found.append((epoch, inline(page, 75)))
    return found
