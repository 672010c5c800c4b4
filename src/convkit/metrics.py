"""Counts over an epoch: kept on the device, read once at its end."""

from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import SumMetric
from torchmetrics.classification import MulticlassConfusionMatrix


class EvaluationMetrics(nn.Module):
    """Mean loss, top-1 and top-5 error and the confusion matrix of one pass; ranks are added up when it is read."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.loss = SumMetric(nan_strategy="disable")
        self.images = SumMetric(nan_strategy="disable")
        # validate_args would read every batch back from the device
        self.confusion = MulticlassConfusionMatrix(num_classes, validate_args=False)
        self.among_top5 = SumMetric(nan_strategy="disable")

    def update(self, logits: Tensor, targets: Tensor, loss: Tensor) -> None:
        """One batch: N×K logits, N class indices, their mean loss."""
        self.loss.update(loss * len(targets))
        self.images.update(len(targets))
        self.confusion.update(logits.argmax(1), targets)
        top5 = logits.topk(min(5, self.num_classes)).indices
        self.among_top5.update((top5 == targets[:, None]).sum())

    def compute(self) -> tuple[dict[str, Tensor], Tensor]:
        """``loss``, ``top1_error`` and ``top5_error`` (percent), and the K×K confusion matrix, rows the true class."""
        confusion = self.confusion.compute()
        values = {
            "loss": self.loss.compute() / self.images.compute(),
            "top1_error": 100 * (1 - confusion.diagonal().sum() / confusion.sum()),
            "top5_error": 100 * (1 - self.among_top5.compute() / self.images.compute()),
        }
        return {name: value.float() for name, value in values.items()}, confusion

    def reset(self) -> None:
        for metric in (self.loss, self.images, self.confusion, self.among_top5):
            metric.reset()


class RunningMeans:
    """Means of named losses since the last reading. Adding costs an addition on the device, no synchronisation."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self.count = 0

    def add(self, values: dict[str, Tensor]) -> None:
        for name, value in values.items():
            previous = self._sums.get(name)
            self._sums[name] = value.detach().clone() if previous is None else previous.add_(value.detach())
        self.count += 1

    def read(self) -> dict[str, Tensor]:
        """The means, on the device; then starts anew."""
        means = {name: total / self.count for name, total in self._sums.items()}
        self._sums, self.count = {}, 0
        return means

    def state_dict(self) -> dict[str, Any]:
        return {"sums": {name: total.clone() for name, total in self._sums.items()}, "count": self.count}

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        self._sums = {name: total.to(device, copy=True) for name, total in state["sums"].items()}
        self.count = state["count"]


def per_class_accuracy(confusion: Tensor) -> Tensor:
    """K percentages from a K×K confusion matrix; nan for a class without images."""
    return 100 * confusion.diagonal() / confusion.sum(1, dtype=torch.float32)
