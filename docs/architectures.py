"""Writes docs/architectures.md from docs/architectures.yaml and the architectures themselves; takes half a minute.

python docs/architectures.py
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from convkit import plugins
from convkit.cli.inspection import build
from convkit.inspection.layers import Row, Table
from convkit.inspection.layers import inspect as inspect_network

DATA, PAGE = (Path(__file__).with_suffix(suffix) for suffix in (".yaml", ".md"))
INTRO = """\
<!-- Written by `python docs/architectures.py`; change docs/architectures.yaml instead. -->
# Architectures

Every variant by its plugin's name and options, beside the figures of its paper. This page is written by
`python docs/architectures.py` from the networks themselves and from `docs/architectures.yaml`, and a test fails when it
is stale. `convkit inspect --architecture NAME --architecture.OPTION VALUE` shows the same of every layer.

- *parameters*: those that evaluation uses; `+` those of the auxiliary heads, which serve training alone.
- *multiply-adds*: of convolutions and products of matrices, for one image; a multiply-add is one multiplication and one
  addition. Papers that say FLOPs count multiply-adds, too.
- *sees*: side of the receptive field and stride, in pixels, of the last module whose units have a place in the
  image, at the maximum over its branches; padding counts as seen. *image*: each unit sees all of the image, as behind
  squeeze-and-excitation.
- *paper*: the figure as it is printed there, `–` where the paper gives none.
"""
HEADS = (
    "architecture",
    "parameters",
    "paper",
    "multiply-adds",
    "paper",
    "sees / stride",
    "published error, %",
    "source",
)


def page() -> str:
    """The whole page."""
    data = yaml.safe_load(DATA.read_text())
    return "\n".join([INTRO, *_sections(data), *_sources(data["sources"])])


def _sections(data: dict[str, Any]) -> Iterator[str]:
    for section in data["sections"]:
        yield f"## {section['title']}\n\n{section['about']}\n"
        yield f"| {' | '.join(HEADS)} |\n|{'---|' * len(HEADS)}"
        for row in section["rows"]:
            yield line(row, section, data["sources"])
        yield ""


def _sources(sources: dict[str, str]) -> Iterator[str]:
    yield "## Sources\n"
    for key, text in sources.items():
        yield f"- {short(key)}: {text}"
    yield ""


def line(row: dict[str, Any], section: dict[str, Any], sources: dict[str, str]) -> str:
    """A row of the page, with what the network itself says."""
    factory = plugins.load(plugins.find("architecture", row["architecture"]))
    options = row.get("options", {})
    classes, shape = row.get("classes", section["classes"]), tuple(row.get("image", section["image"]))
    net = build(lambda *sizes: factory(*sizes, **options), classes, shape, row["architecture"])
    return f"| {' | '.join(_cells(row, inspect_network(net, shape), sources))} |"


def label(row: dict[str, Any]) -> str:
    """```vgg` variant: D``."""
    texts = {True: "true", False: "false"}
    options = [
        f"{name}: {texts[value] if isinstance(value, bool) else value}"
        for name, value in row.get("options", {}).items()
    ]
    return f"`{row['architecture']}` {', '.join(options)}".strip()


def _cells(row: dict[str, Any], table: Table, sources: dict[str, str]) -> Iterator[str]:
    yield label(row)
    yield f"{table.parameters - table.idle_parameters:,}" + (
        f" + {table.idle_parameters:,}" if table.idle_parameters else ""
    )
    yield row.get("parameters", "–")
    yield f"{table.macs / 1e9:.3f} G" if table.macs >= 1e9 else f"{table.macs / 1e6:.2f} M"
    yield row.get("macs", "–")
    yield "?" if table.layers[-1].lost else _sees(table.top)
    yield row["error"]
    yield cited(row["source"], sources)


def cited(source: str, sources: dict[str, str]) -> str:
    """``he2015 Table 6`` as the page prints it: ``He 2015 Table 6``."""
    for key in sources:
        source = source.replace(key, short(key))
    return source


def _sees(row: Row | None) -> str:
    if row is None or row.receptive_field is None or row.stride is None:
        return "?"
    (rows, columns), (down, across) = row.receptive_field, row.stride
    size = "image" if row.whole_image else f"{rows:,}" if rows == columns else f"{rows:,}×{columns:,}"
    return f"{size} / {down}" if down == across else f"{size} / {down}×{across}"


def short(key: str) -> str:
    """``LeCun 1998`` of ``lecun1998``."""
    names = {"lecun": "LeCun", "torchvision": "torchvision"}
    name = key.rstrip("0123456789")
    return f"{names.get(name, name.capitalize())} {key[len(name) :]}".strip()


if __name__ == "__main__":
    PAGE.write_text(page())
