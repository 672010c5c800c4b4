"""A run: the directory that a fit leaves behind, and what every later command is asked of.

``runs/<name>/<n>`` with ``runs/<name>/latest``: ``config.yaml``, ``checkpoints/{best,last}.ckpt``, ``metrics.csv``.
"""

import csv
import os
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentError, ArgumentParser

from convkit.classifier import Classifier
from convkit.datasets.base import ImageData
from convkit.errors import UserError, did_you_mean
from convkit.weights import read_checkpoint

CONFIG, METRICS, CHECKPOINTS, LATEST = "config.yaml", "metrics.csv", "checkpoints", "latest"


class Run:
    """A run directory, opened for reading: ``config``, ``data``, ``model``, ``metrics``.

    Data and model are built when they are first asked for.
    """

    def __init__(self, directory: Path, checkpoint: Path | None = None) -> None:
        self.directory = directory
        self._checkpoint = checkpoint

    @classmethod
    def open(cls, path: str | Path) -> "Run":
        """The run at ``path``: ``runs/<name>/<n>``, ``…/latest``, ``runs/<name>``, or a checkpoint file of a run.

        Raises:
            UserError: there is no run there; names the nearest directory that is one.
        """
        path = Path(path).expanduser()
        if path.is_file() and path.parent.name == CHECKPOINTS:
            return cls(path.parent.parent.resolve(), path.resolve())
        if (path / CONFIG).is_file():
            return cls(path.resolve())
        if (path / LATEST / CONFIG).is_file():
            return cls((path / LATEST).resolve())
        if not path.exists():
            siblings = [str(entry) for entry in path.parent.glob("*") if entry.is_dir()]
            raise UserError(f"there is no run {path}{did_you_mean(str(path), siblings)}")
        raise UserError(f"{path} is not a run: it has no {CONFIG}")

    @cached_property
    def config(self) -> dict[str, Any]:
        """The whole configuration, as it was used."""
        path = self.directory / CONFIG
        try:
            config: dict[str, Any] = yaml.safe_load(path.read_text())
        except (OSError, yaml.YAMLError) as error:
            raise UserError(f"{path} cannot be read: {error}") from error
        return config

    @property
    def checkpoint(self) -> Path:
        """The checkpoint it was opened with, else the best, else the last."""
        if self._checkpoint:
            return self._checkpoint
        for name in ("best.ckpt", "last.ckpt"):
            if (path := self.directory / CHECKPOINTS / name).is_file():
                return path
        raise UserError(f"{self.directory} has no checkpoint; was its fit stopped before the first epoch ended?")

    @cached_property
    def data(self) -> ImageData:
        """The data set, built from the configuration; call ``prepare_data`` and ``setup`` before its loaders."""
        return self._built[1]

    @cached_property
    def model(self) -> Classifier:
        """The network with the checkpoint's weights, in evaluation mode."""
        model = self._built[0]
        contents = read_checkpoint(self.checkpoint)
        if "state_dict" not in contents:
            raise UserError(f"{self.checkpoint} is not a checkpoint of a fit")
        model.on_load_checkpoint(contents)
        model.load_state_dict(contents["state_dict"])
        return model.eval()

    @cached_property
    def metrics(self) -> list[dict[str, float]]:
        """The rows of ``metrics.csv``, each with the columns that it has a value for."""
        try:
            with (self.directory / METRICS).open(newline="") as file:
                return [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(file)]
        except FileNotFoundError:
            return []

    @cached_property
    def _built(self) -> tuple[Classifier, ImageData]:
        return build(self.config)

    def __repr__(self) -> str:
        return f"Run({str(self.directory)!r})"


def link_data_to_model(parser: ArgumentParser) -> None:
    """The model learns the number of classes and the image shape from the data, when it is instantiated."""
    for name in ("num_classes", "image_shape"):
        parser.link_arguments(f"data.{name}", f"model.{name}", apply_on="instantiate")


def build(config: dict[str, Any]) -> tuple[Classifier, ImageData]:
    """Model and data from a run's configuration, the weights as they are initialised.

    Raises:
        UserError: the configuration does not fit this version or the plugins that are installed.
    """
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(Classifier, "model", sub_configs=True)
    parser.add_subclass_arguments(ImageData, "data", required=True)
    link_data_to_model(parser)
    # The checkpoint's weights replace those that it started from, whose file may be gone.
    model = {**config["model"], "init_from": None}
    try:
        parsed = parser.parse_object({"model": model, "data": config["data"]})
    except ArgumentError as error:
        raise UserError(f"the run's configuration cannot be read: {' '.join(str(error).split())}") from error
    built = parser.instantiate(parsed)
    return built.model, built.data


def allocate(root: str | Path, name: str) -> Path:
    """Make ``root/name/<n>`` with the next free number; two at once never get the same."""
    folder = Path(root) / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        numbers = [int(entry.name) for entry in folder.iterdir() if entry.name.isdecimal()]
        number = max(numbers, default=0) + 1
        while True:
            try:
                (folder / str(number)).mkdir()
                return folder / str(number)
            except FileExistsError:
                number += 1
    except OSError as error:
        raise UserError(f"no run can be made under {folder}: {error.strerror or error}") from error


def point_latest(run: Path) -> None:
    """Let ``latest`` beside ``run`` name it."""
    new = run.parent / f".latest-{run.name}"
    new.unlink(missing_ok=True)
    new.symlink_to(run.name)
    os.replace(new, run.parent / LATEST)


def find_checkpoint(path: str, root: str | Path, name: str | None, prefer: str = "last") -> Path:
    """The checkpoint file that ``--ckpt_path`` names.

    ``last`` and ``best`` stand for those of the newest run of ``name``, or of all runs; a run's directory for its
    ``prefer`` one.

    Raises:
        UserError: there is none.
    """
    if path in ("last", "best"):
        pattern = f"{name or '*'}/[0-9]*/{CHECKPOINTS}/{path}.ckpt"
        found = sorted(Path(root).glob(pattern), key=lambda file: file.stat().st_mtime)
        if not found:
            raise UserError(f"there is no {path} checkpoint under {Path(root) / (name or '')}; name a file or a run")
        return found[-1]
    file = Path(path).expanduser()
    if file.is_file():
        return file
    if file.is_dir():
        run = Run.open(file)
        preferred = run.directory / CHECKPOINTS / f"{prefer}.ckpt"
        return preferred if preferred.is_file() else run.checkpoint
    kept = list(file.parent.glob("*.ckpt")) if file.parent.is_dir() else []
    runs = [*Path(root).glob("*"), *Path(root).glob("*/*")]
    near = get_close_matches(path, ["last", "best", *map(str, kept or runs)], n=1)
    raise UserError(f"there is no checkpoint or run {path}{did_you_mean(path, near)}")
