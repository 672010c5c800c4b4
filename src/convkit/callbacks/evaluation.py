"""The confusion matrix, the accuracy of each class and the worst mistakes of a validation or test."""

import csv
import json
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from convkit.callbacks.checkpoints import BestCheckpoint
from convkit.classifier import Classifier
from convkit.datasets.base import ImageData
from convkit.datasets.features import FeatureData
from convkit.metrics import per_class_accuracy
from convkit.report.mistakes import Mistake, mistakes_page
from convkit.report.sheet import TILE, tile
from convkit.tracking import show
from convkit.tracking.show import Place
from convkit.tracking.sparing import spared

KEPT = 25


class WorstMistakes:
    """The misclassified images with the highest loss seen since ``reset``, kept on the device without reading it."""

    def __init__(self) -> None:
        self._kept: tuple[Tensor, ...] | None = None

    def reset(self) -> None:
        self._kept = None

    def update(self, images: Tensor, targets: Tensor, logits: Tensor) -> None:
        """One batch: N×C×H×W, N class indices, N×K logits; of N×crops×C×H×W the first crop is shown."""
        if images.ndim == 5:
            images = images[:, 0]
        probabilities, predicted = logits.float().softmax(1).max(1)
        losses = torch.nn.functional.cross_entropy(logits.float(), targets, reduction="none")
        scores = losses.masked_fill(predicted == targets, -torch.inf)
        worst = scores.topk(min(KEPT, len(scores))).indices
        batch = tuple(value[worst] for value in (scores, images, targets, predicted, probabilities))
        if self._kept is not None:
            batch = tuple(torch.cat(pair) for pair in zip(self._kept, batch, strict=True))
            best = batch[0].topk(min(KEPT, len(batch[0]))).indices
            batch = tuple(value[best] for value in batch)
        self._kept = batch

    def merged(self, trainer: Trainer) -> list[tuple[Tensor, ...]]:
        """Score, image, target, predicted and probability of each, worst first, over all ranks. Collective."""
        if self._kept is None:
            return []
        gathered = self._kept
        if trainer.world_size > 1:
            # Ranks hold equally many when each saw KEPT images; fill up where one saw fewer.
            short = KEPT - len(self._kept[0])
            filled = tuple(
                torch.cat([value, value.new_full((short, *value.shape[1:]), -torch.inf if index == 0 else 0)])
                for index, value in enumerate(self._kept)
            )
            gathered = tuple(_over_ranks(value, trainer.world_size) for value in filled)
        order = gathered[0].argsort(descending=True)[:KEPT].tolist()
        return [tuple(value[index] for value in gathered) for index in order if gathered[0][index] > -torch.inf]


def _over_ranks(value: Tensor, ranks: int) -> Tensor:
    """The tensors of all ranks, of one shape, along their first dimension."""
    parts = [torch.empty_like(value) for _ in range(ranks)]
    torch.distributed.all_gather(parts, value.contiguous())
    return torch.cat(parts)


class Pages(NamedTuple):
    """What there is to show of one pass: its K×K confusion matrix, rows the true class, its worst mistakes, the epoch,
    counted from 1, and the top-1 error in percent."""

    confusion: Tensor
    mistakes: list[Mistake]
    epoch: int
    error: float

    def state_dict(self) -> dict[str, Any]:
        """Plain and small: of the matrix what is not zero, of the images the pixels that the page shows."""
        places = self.confusion.flatten().nonzero().flatten()
        return {
            "classes": len(self.confusion),
            "places": places.int(),
            "counts": self.confusion.flatten()[places].int(),
            "images": [_pixels(one.image) for one in self.mistakes],
            "words": [[one.label, one.predicted] for one in self.mistakes],
            "probabilities": [one.probability for one in self.mistakes],
            "epoch": self.epoch,
            "error": self.error,
        }

    @classmethod
    def of(cls, state: dict[str, Any]) -> "Pages":
        confusion = torch.zeros(state["classes"] ** 2, dtype=torch.int64)
        confusion[state["places"].long()] = state["counts"].long()
        kept = zip(state["images"], state["words"], state["probabilities"], strict=True)
        mistakes = [Mistake(image.float() / 255, is_, taken_for, p) for image, (is_, taken_for), p in kept]
        return cls(confusion.view(state["classes"], -1), mistakes, state["epoch"], state["error"])


def _pixels(image: Tensor) -> Tensor:
    """C×H×W bytes; of an image larger than its tile, the tile."""
    if max(image.shape[1:]) > TILE:
        return torch.from_numpy(np.array(tile(image))).permute(2, 0, 1).contiguous()
    return (image.clamp(0, 1) * 255).round().byte()


class EvaluationPages(Callback):
    """Writes ``<split>_confusion.csv``, ``<split>_classes.json`` and ``<split>_mistakes.png``, and shows them to the
    loggers.

    In a fit they are those of the validation with the lowest top-1 error, as ``best.ckpt`` is, written when training
    ends; checkpoints keep them, for a fit that goes on. A fit on features has no images to show: it writes the first
    two.
    """

    def __init__(self, directory: Path | None) -> None:
        self.directory = directory
        self._worst = WorstMistakes()
        self._pages: Pages | None = None
        self._state: dict[str, Any] = {}

    def state_dict(self) -> dict[str, Any]:
        return self._pages.state_dict() if self._pages else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._state = state_dict  # used when training starts: a test after the fit loads too

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        best = [one for one in trainer.checkpoint_callbacks if isinstance(one, BestCheckpoint)]
        anew = best and best[0].best_model_score is None  # it goes back, to before the best was reached
        if self._state and not anew:
            self._pages = Pages.of(self._state)
        self._state = {}

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._worst.reset()

    on_test_epoch_start = on_validation_epoch_start

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *_: Any
    ) -> None:
        if not trainer.sanity_checking and not _on_features(trainer):
            self._worst.update(batch[0], batch[1], outputs)

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *_: Any
    ) -> None:
        self._worst.update(batch[0], batch[1], outputs)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.sanity_checking:
            return
        error, fits = float(trainer.callback_metrics["val/top1_error"]), trainer.state.fn == "fit"
        if not fits or self._pages is None or error < self._pages.error:  # the same on all ranks: all of them gather
            self._collect(trainer, pl_module, error)
        if not fits:
            self._write(trainer, "val")

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._collect(trainer, pl_module, float(trainer.callback_metrics["test/top1_error"]))
        self._write(trainer, "test")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._write(trainer, "val")

    def _collect(self, trainer: Trainer, pl_module: LightningModule, error: float) -> None:
        assert isinstance(pl_module, Classifier)
        data = trainer.datamodule  # type: ignore[attr-defined]
        names = class_names(data, pl_module.metrics.num_classes)
        mistakes = []
        for _, image, target, predicted, probability in self._worst.merged(trainer):
            if isinstance(data, ImageData):
                mean, std = (image.new_tensor(values)[:, None, None] for values in (data.mean, data.std))
                image = image * std + mean
            mistakes.append(Mistake(image.cpu(), names[target], names[predicted], probability.item()))
        assert pl_module.confusion is not None
        self._pages = Pages(pl_module.confusion.cpu(), mistakes, trainer.current_epoch + 1, error)

    def _write(self, trainer: Trainer, split: str) -> None:
        if self._pages is None or self.directory is None or not trainer.is_global_zero:
            return
        confusion, mistakes, epoch, _ = self._pages
        when = f", epoch {epoch}" if trainer.state.fn == "fit" else ""
        names = class_names(trainer.datamodule, len(confusion))  # type: ignore[attr-defined]
        wrong = int(confusion.sum() - confusion.diagonal().sum())
        with spared(f"the pages of {split} are not all written", OSError, ValueError):
            self._write_files(split, confusion, names)
        title = f"{len(mistakes)} worst of {wrong} mistakes in {int(confusion.sum())} images ({split}{when})"
        place = partial(Place, step=trainer.global_step, epoch=epoch)
        show.confusion(trainer.loggers, place(f"{split}/confusion"), confusion, names)
        accuracy = per_class_accuracy(confusion).tolist()
        classes = list(zip(names, confusion.sum(1).tolist(), accuracy, strict=True))
        show.table(trainer.loggers, place(f"{split}/classes"), ["class", "images", "accuracy"], classes)
        if not _on_features(trainer):
            page = mistakes_page(mistakes, title)
            with spared(f"{split}_mistakes.png is not written", OSError, ValueError):
                page.save(self.directory / f"{split}_mistakes.png")
            show.picture(trainer.loggers, place(f"{split}/mistakes"), page)
            rows = [[tile(one.image), *one[1:]] for one in mistakes]
            columns = ["image", "class", "predicted", "probability"]
            show.table(trainer.loggers, place(f"{split}/worst"), columns, rows)

    def _write_files(self, split: str, confusion: Tensor, names: list[str]) -> None:
        assert self.directory is not None
        with (self.directory / f"{split}_confusion.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["true \\ predicted", *names])
            writer.writerows([name, *row] for name, row in zip(names, confusion.tolist(), strict=True))
        accuracy = [None if value != value else round(value, 3) for value in per_class_accuracy(confusion).tolist()]
        (self.directory / f"{split}_classes.json").write_text(
            json.dumps(dict(zip(names, accuracy, strict=True)), indent=1) + "\n", encoding="utf-8"
        )


def class_names(data: Any, count: int) -> list[str]:
    """The data's own names, or the indices where it has none; a folder's name that is no text with its bytes spelt."""
    names = data.class_names if isinstance(data, ImageData) else [str(index) for index in range(count)]
    return [name.encode("utf-8", "backslashreplace").decode() for name in names]


def _on_features(trainer: Trainer) -> bool:
    return isinstance(trainer.datamodule, FeatureData)  # type: ignore[attr-defined]
