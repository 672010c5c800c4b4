"""Pictures, tables and texts into each kind of logger that has a place for them: W&B and TensorBoard."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger
from PIL import Image
from torch import Tensor

from convkit.tracking.going_on import STEP
from convkit.tracking.sparing import has_patience, shown_to

Table = Sequence[Sequence[Any]]
SIDE = 480  # pixels of a confusion matrix, at least


class Place(NamedTuple):
    """Where and when: the key of W&B and of TensorBoard, the step, and the epoch, counted from 1."""

    key: str
    step: int
    epoch: int


def picture(loggers: Iterable[Logger], place: Place, image: Image.Image) -> None:
    """A picture at a step: under one key, W&B and TensorBoard give a slider over the epochs."""

    def to_wandb(logger: Any) -> None:
        import wandb

        _log(logger, place, wandb.Image(image, caption=f"epoch {place.epoch}"))

    _each(loggers, place, to_wandb, lambda writer: writer.add_image(*_pixels(place, image), dataformats="HWC"))


def table(loggers: Iterable[Logger], place: Place, columns: Sequence[str], rows: Table) -> None:
    """A table; a cell may be a picture, which TensorBoard leaves out."""

    def to_wandb(logger: Any) -> None:
        import wandb

        names: list[str | int] = [*columns]
        cells = [[wandb.Image(cell) if isinstance(cell, Image.Image) else cell for cell in row] for row in rows]
        _log(logger, place, wandb.Table(columns=names, data=cells))

    _each(loggers, place, to_wandb, lambda writer: writer.add_text(place.key, _markdown(columns, rows), place.step))


def confusion(loggers: Iterable[Logger], place: Place, matrix: Tensor, names: Sequence[str]) -> None:
    """A K×K confusion matrix, rows the true class: a chart in W&B, in TensorBoard a picture, each row by its sum."""

    def to_wandb(logger: Any) -> None:
        import wandb

        columns: list[str | int] = ["Actual", "Predicted", "nPredictions"]
        cells = [
            [true, predicted, count]
            for true, row in zip(names, matrix.tolist(), strict=True)
            for predicted, count in zip(names, row, strict=True)
        ]
        chart = wandb.plot_table(
            vega_spec_name="wandb/confusion_matrix/v1",
            data_table=wandb.Table(columns=columns, data=cells),
            fields={str(column): str(column) for column in columns},
            string_fields={"title": place.key},
        )
        _log(logger, place, chart)

    def to_tensorboard(writer: Any) -> None:
        writer.add_image(*_pixels(place, shares(matrix)), dataformats="HWC")

    _each(loggers, place, to_wandb, to_tensorboard)


def facts(loggers: Iterable[Logger], name: str, values: dict[str, Any]) -> None:
    """A nested dict: in W&B the configuration or a part of it, in TensorBoard a text."""

    def to_wandb(logger: Any) -> None:
        values_there = values if name == "config" else {name: values}
        logger.experiment.config.update(values_there, allow_val_change=True)  # a run that goes on has others

    def to_tensorboard(writer: Any) -> None:
        import yaml

        text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
        writer.add_text(name, "\n".join(f"    {line}" for line in text.splitlines()))

    _each(loggers, Place(name, 0, 0), to_wandb, to_tensorboard)


def shares(matrix: Tensor) -> Image.Image:
    """Rows from white, none of the class, to black, all of it; a cell has as many pixels as K leaves it."""
    share = matrix / matrix.sum(1, keepdim=True).clamp(min=1)
    grey = (255 * (1 - share)).round().byte().cpu().numpy()
    return Image.fromarray(np.kron(grey, np.ones((max(1, SIDE // len(grey)),) * 2, np.uint8)))


def _each(
    loggers: Iterable[Logger], place: Place, wandb: Callable[[Any], None], tensorboard: Callable[[Any], None]
) -> None:
    for logger in filter(has_patience, loggers):
        with shown_to(logger, place.key):
            if isinstance(logger, WandbLogger):
                wandb(logger)
            elif isinstance(logger, TensorBoardLogger):
                tensorboard(logger.experiment)


def _log(logger: Any, place: Place, value: Any) -> None:
    logger.experiment.log({place.key: value, "epoch": place.epoch - 1, STEP: place.step})


def _pixels(place: Place, image: Image.Image) -> tuple[str, Any, int]:
    return place.key, np.asarray(image.convert("RGB")), place.step


def _markdown(columns: Sequence[str], rows: Table) -> str:
    shown = [index for index in range(len(columns)) if not any(isinstance(row[index], Image.Image) for row in rows)]
    lines = [[str(columns[index]) for index in shown], ["---"] * len(shown)]
    lines += [[_cell(row[index]) for index in shown] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(value: Any) -> str:
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("<", "&lt;")
