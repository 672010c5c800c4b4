"""A run: the directory that a fit leaves behind, and what every later command is asked of."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentError, ArgumentParser

from convkit import plugins
from convkit.classifier import Classifier
from convkit.datasets.base import ImageData
from convkit.errors import UserError
from convkit.explanation import Explained, explain
from convkit.metrics_file import read_metrics
from convkit.plugin_health import compare
from convkit.run_directory import CONFIG, METRICS, kept_checkpoint, locate, recorded_plugins
from convkit.weights import read_checkpoint


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
        return cls(*locate(path))

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
        return self._checkpoint or kept_checkpoint(self.directory)

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
        """The rows of ``metrics.csv``, each with the columns that it has a value for; not a line that was cut."""
        path = self.directory / METRICS
        try:
            return read_metrics(path).rows
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror}") from error

    def explain(self, method: str, images: Sequence[str | Path] = (), **options: Any) -> Explained:
        """Maps of what the network looks at; the options are those of :func:`convkit.explanation.explain`."""
        return explain(self.model.net, self.data, method, images, **options)

    @cached_property
    def _built(self) -> tuple[Classifier, ImageData]:
        compare(recorded_plugins(self.directory), self.directory)
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
        UserError: the configuration does not fit this version or the plugins that are installed, or its data is not
            there.
    """
    for kind, place in (("dataset", config["data"]), ("architecture", config["model"]["architecture"])):
        if isinstance(place, dict):
            plugins.load(plugins.at(kind, place["class_path"]))  # for its own error message
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(Classifier, "model", sub_configs=True)
    parser.add_subclass_arguments(ImageData, "data", required=True)
    link_data_to_model(parser)
    # The checkpoint's weights replace those that it started from, whose file may be gone.
    model = {**config["model"], "init_from": None, "fresh": None}
    try:
        parsed = parser.parse_object({"model": model, "data": config["data"]})
    except ArgumentError as error:
        raise UserError(f"the run's configuration cannot be read: {' '.join(str(error).split())}") from error
    try:
        built = parser.instantiate(parsed)
    except ValueError as error:  # a constructor's own words, wherever jsonargparse has put them
        lines = str(error).splitlines() or [type(error).__name__]
        cause = next((line.strip()[2:] for line in lines if line.startswith("  - ")), lines[0])
        raise UserError(f"the run cannot be built here: {cause}") from error
    return built.model, built.data
