"""The panels of a W&B workspace for convkit's runs, as data; ``wandb-workspaces`` makes them real."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

NAME = "convkit"
# Of AlexNet, VGG and the ResNets; a panel of pictures takes whole keys, no pattern, so other networks' are named.
STAGES = ("conv1", "conv2", "conv3", "conv4", "conv5")


class Panel(NamedTuple):
    """``kind``: a row of :data:`KINDS`; ``keys``: what it shows, of ``curves`` one regular expression."""

    kind: str
    title: str
    keys: tuple[str, ...]
    log: bool = False  # the vertical axis


SECTIONS: dict[str, tuple[Panel, ...]] = {
    "Errors": (
        Panel("lowest", "Lowest top-1 error, %", ("val/top1_error",)),
        Panel("lines", "Top-1 error, %", ("val/top1_error",)),
        Panel("lines", "Top-5 error, %", ("val/top5_error",)),
        Panel("last", "Test error, %", ("test/top1_error",)),
    ),
    "Loss and rates": (
        Panel("lines", "Loss", ("train/loss", "val/loss"), log=True),
        Panel("curves", "Loss of each auxiliary head", ("^train/aux/.*",), log=True),
        Panel("curves", "Rate of each group", ("^lr/.*",), log=True),
    ),
    "Speed and gradients": (
        Panel("lines", "Seconds an epoch", ("time/epoch",)),
        Panel("lines", "Images a second", ("time/images_per_second",)),
        Panel("curves", "Gradient norm of each stage", ("^grad_norm/.*",), log=True),
    ),
    "Mistakes": (
        Panel("confusion", "Confusion matrix (validation)", ("val/confusion_table",)),
        Panel("table", "Classes", ("val/classes",)),
        Panel("pictures", "Worst mistakes", ("val/mistakes",)),
        Panel("table", "Worst mistakes, one a row", ("val/worst",)),
    ),
    "Mistakes of the test": (
        Panel("confusion", "Confusion matrix (test)", ("test/confusion_table",)),
        Panel("table", "Classes (test)", ("test/classes",)),
        Panel("pictures", "Worst mistakes (test)", ("test/mistakes",)),
        Panel("table", "Worst mistakes, one a row (test)", ("test/worst",)),
    ),
    "Features": (
        Panel("pictures", "Filters of the first layer", ("filters/first_layer",)),
        Panel("pictures", "When each stage settles", ("evolution/settling",)),
    ),
    "Runs": (Panel("differences", "What differs", ()),),
}


def sections(stages: Sequence[str] = STAGES) -> dict[str, list[Panel]]:
    """The panels by section, those of the stages' features included."""
    found = {name: [*panels] for name, panels in SECTIONS.items()}
    for name in stages:
        found["Features"].append(Panel("pictures", f"{name}, epoch by epoch", (f"evolution/{name}",)))
        found["Features"].append(Panel("pictures", f"{name}, all epochs", (f"evolution/{name}_strip",)))
    return found


def definition(entity: str, project: str, stages: Sequence[str] = STAGES) -> dict[str, Any]:
    """The whole workspace in plain values."""
    panels = {
        name: [
            {"kind": panel.kind, "title": panel.title, "keys": [*panel.keys], "log": panel.log} for panel in of_section
        ]
        for name, of_section in sections(stages).items()
    }
    return {"entity": entity, "project": project, "name": NAME, "sections": panels}


def workspace(entity: str, project: str, stages: Sequence[str] = STAGES) -> Any:
    """The same as a ``wandb_workspaces.workspaces.Workspace``, whose ``save`` makes it; needs no server yet.

    Raises:
        ImportError: the extra ``dashboard`` is not installed.
    """
    import wandb_workspaces.reports.v2 as wr
    import wandb_workspaces.workspaces as ws

    return ws.Workspace(
        entity=entity,
        project=project,
        name=NAME,
        sections=[
            ws.Section(name=name, panels=[KINDS[panel.kind](wr, panel) for panel in panels], is_open=True)
            for name, panels in sections(stages).items()
        ],
        settings=ws.WorkspaceSettings(x_axis="trainer/global_step"),
    )


def _lines(wr: Any, panel: Panel) -> Any:
    return wr.LinePlot(title=panel.title, x="trainer/global_step", y=[*panel.keys], log_y=panel.log)


def _curves(wr: Any, panel: Panel) -> Any:
    (pattern,) = panel.keys
    return wr.LinePlot(title=panel.title, x="trainer/global_step", metric_regex=pattern, log_y=panel.log)


def _lowest(wr: Any, panel: Panel) -> Any:
    return wr.BarPlot(title=panel.title, metrics=[wr.SummaryMetric(f"{key}.min") for key in panel.keys])


def _last(wr: Any, panel: Panel) -> Any:
    return wr.BarPlot(title=panel.title, metrics=[wr.SummaryMetric(key) for key in panel.keys])


def _pictures(wr: Any, panel: Panel) -> Any:
    return wr.MediaBrowser(title=panel.title, media_keys=[*panel.keys], mode="gallery", gallery_axis="step")


def _table(wr: Any, panel: Panel) -> Any:
    (key,) = panel.keys
    return wr.WeavePanelSummaryTable(table_name=key)


def _confusion(wr: Any, panel: Panel) -> Any:
    (key,) = panel.keys
    return wr.CustomChart(
        query={"summaryTable": {"tableKey": key}},
        chart_name="wandb/confusion_matrix/v1",
        chart_fields={name: name for name in ("Actual", "Predicted", "nPredictions")},
        chart_strings={"title": panel.title},
    )


def _differences(wr: Any, panel: Panel) -> Any:
    return wr.RunComparer(diff_only="split")


KINDS: Mapping[str, Callable[[Any, Panel], Any]] = {
    "lines": _lines,
    "curves": _curves,
    "lowest": _lowest,
    "last": _last,
    "pictures": _pictures,
    "table": _table,
    "confusion": _confusion,
    "differences": _differences,
}
