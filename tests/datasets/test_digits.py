"""scikit-learn's digits: all of them, and always the same ones to test on."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor

from convkit.datasets.digits import Digits


def rows(images: Tensor) -> list[bytes]:
    return sorted(image.numpy().tobytes() for image in images)


def test_the_scans_own_size_gives_back_the_scans() -> None:
    train, test = Digits(size=8).load()
    scans = torch.from_numpy(load_digits().images)
    expected = (scans * 255 / 16).round().to(torch.uint8)
    assert rows(torch.cat([train.images, test.images])[:, 0]) == rows(expected)
    counts = torch.bincount(torch.cat([train.targets, test.targets]))
    assert counts.tolist() == np.bincount(load_digits().target).tolist()


def test_a_fifth_of_each_class_is_the_test_set() -> None:
    train, test = Digits().load()
    per_class = np.bincount(load_digits().target)
    assert torch.bincount(test.targets).tolist() == np.round(per_class / 5).tolist()
    assert len(train.images) + len(test.images) == 1797
    assert train.images.shape[1:] == test.images.shape[1:] == (1, 32, 32)


def test_splits_are_disjoint_and_the_test_set_never_changes() -> None:
    one, other = Digits(seed=0), Digits(seed=1, val_fraction=0.3)
    one.setup()
    other.setup()
    assert torch.equal(one.splits["test"].images, other.splits["test"].images)
    assert not torch.equal(one.splits["val"].images[:100], other.splits["val"].images[:100])
    parts = [rows(one.splits[name].images) for name in ("train", "val", "test")]
    # No scan occurs twice, so that what is equal would be the same one.
    assert len({row for part in parts for row in part}) == sum(map(len, parts)) == 1797


def test_enlarging_keeps_the_picture() -> None:
    small, large = Digits(size=8).load()[1].images, Digits(size=32).load()[1].images
    back = torch.nn.functional.avg_pool2d(large.float(), 4)
    assert (back - small.float()).abs().mean() < 20  # of 255


def test_smaller_than_the_scans_is_refused() -> None:
    with pytest.raises(ValueError, match=r"digits: the scans are 8×8 .*; data\.size cannot be 7"):
        Digits(size=7)
