"""Building data sets as ``fit`` would, and taking figures and images from them."""

from pathlib import Path
from typing import Any, NamedTuple

import torch
from jsonargparse import ArgumentError, ArgumentParser

from convkit.cli.parse_errors import one_line
from convkit.cli.quiet import quiet
from convkit.datasets.base import ImageData
from convkit.errors import UserError
from convkit.report.sheet import Section, sheet


class Summary(NamedTuple):
    """A data set and its figures; ``counts`` by class, then by split."""

    name: str
    data: ImageData
    counts: dict[str, dict[str, int]]

    @property
    def classes(self) -> int:
        return self.data.num_classes

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return self.data.image_shape

    @property
    def mean(self) -> tuple[float, ...]:
        return self.data.mean

    @property
    def std(self) -> tuple[float, ...]:
        return self.data.std

    @property
    def skipped(self) -> dict[str, str]:
        """Path of each image that could not be read so far, and why."""
        return getattr(self.data, "skipped", {})

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "classes": self.classes,
            "image_shape": list(self.image_shape),
            "mean": list(self.mean),
            "std": list(self.std),
            "counts": self.counts,
            "skipped": self.skipped,
        }


def summarised(name: str, words: list[str]) -> Summary:
    """The data set that ``--data=…`` and its options stand for, made ready, with its figures.

    Raises:
        UserError: an option that it does not take, or data that is not there.
    """
    quiet()
    data = _built(words)
    data.prepare_data()
    data.setup("fit")
    data.setup("test")
    labels = {
        split: torch.bincount(data.labels(split), minlength=data.num_classes) for split in ("train", "val", "test")
    }
    counts = {
        class_name: {split: int(count[index]) for split, count in labels.items()}
        for index, class_name in enumerate(data.class_names)
    }
    return Summary(name, data, counts)


def _built(words: list[str]) -> ImageData:
    parser = ArgumentParser(exit_on_error=False, allow_abbrev=False)
    parser.add_subclass_arguments(ImageData, "data", required=True)
    try:
        parsed = parser.parse_args(words)
        data: ImageData = parser.instantiate(parsed).data
    except (ArgumentError, ValueError, TypeError, OSError) as error:
        options = parser.get_defaults(skip_validation=True).keys()
        raise UserError(one_line(str(error), "data", list(options))) from error
    return data


def draw(found: list[Summary], split: str, count: int, path: Path) -> None:
    """``count`` images of a split, of every data set, into a PNG file."""
    sections = []
    for summary in found:
        data = summary.data
        images, targets = data.sample(split, count)
        data.teardown("fit")
        mean, std = (torch.tensor(values)[:, None, None] for values in (data.mean, data.std))
        labels = [data.class_names[target] for target in targets.tolist()]
        shape = " x ".join(map(str, summary.image_shape))  # the font has no ×
        sections.append(Section(f"{summary.name} · {split} · {shape}", list(images * std + mean), labels))
    try:
        sheet(sections).save(path)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from error
