"""What is held out, and small training sets."""

import numpy as np
import pytest
import torch

from convkit.datasets.subset import check_subset, of_every_class, stratified, subset
from convkit.errors import UserError

NAMES = ["a", "b", "c"]
TARGETS = np.random.RandomState(3).permutation(np.repeat([0, 1, 2], [100, 50, 7]))


def chosen(seed: int = 0, **how: float) -> list[int]:
    places: list[int] = subset(TARGETS, NAMES, seed=seed, **how).tolist()  # type: ignore[arg-type]
    return places


def test_stratified_holds_out_a_share_of_each_class() -> None:
    targets = np.repeat([0, 1, 2], [100, 50, 7])
    held_out = stratified(targets, 0.1, seed=0).numpy()
    assert [int(held_out[targets == target].sum()) for target in range(3)] == [10, 5, 1]
    assert np.array_equal(held_out, stratified(targets, 0.1, seed=0).numpy())
    assert not np.array_equal(held_out, stratified(targets, 0.1, seed=1).numpy())
    assert not stratified(targets, 0.0, seed=0).any()


def test_so_many_of_each_class() -> None:
    assert np.bincount(TARGETS[chosen(per_class=5)]).tolist() == [5, 5, 5]
    assert np.bincount(TARGETS[chosen(fraction=0.1)]).tolist() == [10, 5, 1]
    assert np.bincount(TARGETS[chosen(fraction=0.001)]).tolist() == [1, 1, 1]
    assert chosen() == chosen(fraction=1.0) == list(range(157))


def test_a_smaller_set_is_part_of_every_larger_one() -> None:
    for sizes in ([{"per_class": count} for count in (1, 3, 7)], [{"fraction": share} for share in (0.1, 0.3, 0.9)]):
        sets = [set(chosen(**how)) for how in sizes]
        assert sets[0] < sets[1] < sets[2]


def test_the_seed_decides_and_other_classes_do_not() -> None:
    assert chosen(seed=1, per_class=5) == chosen(seed=1, per_class=5) == sorted(chosen(seed=1, per_class=5))
    assert chosen(seed=1, per_class=5) != chosen(seed=0, per_class=5)
    without = np.flatnonzero(TARGETS != 0)
    kept = without[subset(TARGETS[without], NAMES, per_class=None, fraction=0.2, seed=0)]
    assert kept.tolist() == [place for place in chosen(fraction=0.2) if TARGETS[place]]


def test_too_few_images_of_a_class() -> None:
    with pytest.raises(UserError) as raised:
        chosen(per_class=8)
    assert str(raised.value) == "data.per_class 8: class 'c' has 7 training images"


@pytest.mark.parametrize(
    ("fraction", "per_class", "said"),
    [
        (0.0, None, "data.fraction is a share above 0 and up to 1, not 0.0"),
        (1.5, None, "data.fraction is a share above 0 and up to 1, not 1.5"),
        (float("nan"), None, "data.fraction is a share above 0 and up to 1, not nan"),
        (1.0, 0, "data.per_class is a number of images, at least 1, not 0"),
        (0.5, 10, "data.fraction 0.5 and data.per_class 10 both say how many; use one"),
    ],
)
def test_bad_options(fraction: float, per_class: int | None, said: str) -> None:
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - the whole message is compared
        check_subset(fraction, per_class)
    assert str(raised.value) == said


def test_a_sample_of_every_class_to_look_at() -> None:
    random = np.random.RandomState(3)
    targets = np.sort(random.choice(7, 400, p=[0.4, 0.2, 0.1, 0.1, 0.1, 0.09, 0.01]))  # as files of folders are
    rare = np.bincount(targets)[6]
    assert 0 < rare < 8
    for count in (1, 5, 7, 16, 60):
        chosen = of_every_class(targets, count, 0).numpy()
        assert len(set(chosen.tolist())) == count
        counts = np.bincount(targets[chosen], minlength=7)
        assert counts[:6].max() - counts[:6].min() <= 1
        assert counts[6] >= min(rare, counts[:6].min())
        assert (np.diff(targets[chosen]) >= 0).all()
        assert set(chosen.tolist()) <= set(of_every_class(targets, count + 3, 0).tolist())
    assert not torch.equal(of_every_class(targets, 16, 0), of_every_class(targets, 16, 1))
    assert torch.equal(of_every_class(targets, 16, 1), of_every_class(targets, 16, 1))
    assert sorted(of_every_class(targets, 999, 0).tolist()) == list(range(400))
