"""What ``convkit explain`` was asked for."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Request:
    """As given; ``options`` are the method's own, as text."""

    run: str
    method: str
    out: Path
    images: list[str]
    split: str | None
    count: int | None
    seed: int | None
    target: str | None
    stage: str | None
    unit: int | None
    options: dict[str, str]
    sanity: bool
    json: bool
