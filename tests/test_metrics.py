"""Counts over batches, against scikit-learn on the whole."""

from typing import Any

import numpy as np
import pytest
import torch
from sklearn import metrics as sk
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the field's own name

from convkit.metrics import EvaluationMetrics, RunningMeans, per_class_accuracy


def counted(logits: Tensor, targets: Tensor, sizes: list[int]) -> tuple[dict[str, Tensor], Tensor]:
    metrics = EvaluationMetrics(logits.shape[1])
    for batch, labels in zip(logits.split(sizes), targets.split(sizes), strict=True):
        metrics.update(batch, labels, F.cross_entropy(batch, labels))
    return metrics.compute()


@pytest.mark.parametrize("classes", [2, 4, 5, 10, 100])
def test_against_scikit_learn_in_uneven_batches(classes: int) -> None:
    sizes = [64, 64, 1, 30, 3]
    logits, targets = torch.randn(sum(sizes), classes) * 2, torch.randint(classes, (sum(sizes),))
    values, confusion = counted(logits, targets, sizes)
    labels: dict[str, Any] = {"labels": np.arange(classes)}
    assert values["loss"].item() == pytest.approx(sk.log_loss(targets, logits.double().softmax(1), **labels), rel=1e-5)
    assert np.array_equal(confusion, sk.confusion_matrix(targets, logits.argmax(1), **labels))
    for k, name in ((1, "top1_error"), (5, "top5_error")):
        hits = sk.top_k_accuracy_score(targets, logits, k=k, **labels) if k < classes > 2 else None
        if classes == 2:  # where scikit-learn wants scores of one class
            hits = sk.accuracy_score(targets, logits.argmax(1)) if k == 1 else 1.0
        elif k >= classes:  # where it warns: everything is among the first five of five
            hits = 1.0
        assert values[name].item() == pytest.approx(100 * (1 - hits), abs=1e-4)


def test_reset_begins_anew() -> None:
    metrics = EvaluationMetrics(3)
    targets = torch.tensor([0, 1, 2])
    wrong = F.one_hot((targets + 1) % 3).float()
    metrics.update(wrong, targets, F.cross_entropy(wrong, targets))
    assert metrics.compute()[0]["top1_error"] == 100
    metrics.reset()
    right = F.one_hot(targets).float()
    metrics.update(right, targets, F.cross_entropy(right, targets))
    values, confusion = metrics.compute()
    assert values["top1_error"] == 0
    assert torch.equal(confusion, torch.eye(3, dtype=torch.int64))


def test_counts_are_no_part_of_a_checkpoint() -> None:
    assert not EvaluationMetrics(3).state_dict()


def test_per_class_accuracy() -> None:
    confusion = torch.tensor([[3, 1, 0], [0, 0, 0], [1, 1, 0]])
    first, empty, last = per_class_accuracy(confusion).tolist()
    assert (first, last) == (75.0, 0.0)
    assert np.isnan(empty)


def test_running_means_are_means_since_the_last_reading() -> None:
    means = RunningMeans()
    for value in (1.0, 2.0, 6.0):
        means.add({"loss": torch.tensor(value), "aux/a": torch.tensor(2 * value)})
    assert means.read() == {"loss": torch.tensor(3.0), "aux/a": torch.tensor(6.0)}
    assert means.count == 0
    means.add({"loss": torch.tensor(5.0)})
    assert means.read() == {"loss": torch.tensor(5.0)}
    assert means.read() == {}


def test_running_means_keep_no_graph_and_touch_no_loss() -> None:
    means = RunningMeans()
    loss = (torch.ones(1, requires_grad=True) * 2).sum()
    means.add({"loss": loss})
    means.add({"loss": loss})
    assert loss.item() == 2
    assert not means.read()["loss"].requires_grad


def test_running_means_go_on_from_their_state_and_leave_it_alone() -> None:
    values = [{"loss": value} for value in torch.rand(6)]
    whole, first, rest = RunningMeans(), RunningMeans(), RunningMeans()
    for value in values:
        whole.add(value)
    for value in values[:4]:
        first.add(value)
    state = first.state_dict()
    held = state["sums"]["loss"].clone()
    rest.load_state_dict(state, torch.device("cpu"))
    for value in values[4:]:
        rest.add(value)
    assert torch.equal(rest.read()["loss"], whole.read()["loss"])
    assert torch.equal(state["sums"]["loss"], held)
