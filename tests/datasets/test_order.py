"""Which images make which batch: every image once an epoch, over all ranks."""

from collections import Counter

import numpy as np
import pytest

from convkit.datasets.order import Order

# (images, images of a step, ranks): even, with a remainder, one too small for two images a rank, fewer than a batch
DIVISIONS = [
    (12, 4, 1), (13, 4, 1), (14, 4, 1), (12, 4, 2), (13, 4, 2), (15, 4, 2), (16, 6, 3), (22, 6, 3), (1797, 128, 4),
    (3, 8, 1), (5, 8, 2), (7, 7, 2), (9, 1, 1), (9, 2, 2),
]  # fmt: skip


def orders(count: int, batch_size: int, ranks: int, *, shuffle: bool = True, epoch: int = 0) -> list[Order]:
    made = [Order(count, batch_size, seed=3, shuffle=shuffle, rank=rank, ranks=ranks) for rank in range(ranks)]
    for order in made:
        order.set_epoch(epoch)
    return made


def batch(order: Order, index: int) -> list[int]:
    """The images of one batch on one rank, as a loader takes them."""
    start, stop = order.bounds(index)
    return [int(image) for image in order.indices()[start + order.rank : stop : order.ranks]]


@pytest.mark.parametrize(("count", "batch_size", "ranks"), DIVISIONS)
@pytest.mark.parametrize("shuffle", [True, False])
def test_each_image_once_an_epoch(count: int, batch_size: int, ranks: int, shuffle: bool) -> None:
    for epoch in (0, 1):
        made = orders(count, batch_size, ranks, shuffle=shuffle, epoch=epoch)
        assert len({len(order) for order in made}) == 1  # or the ranks would wait for each other for ever
        seen = Counter(image for order in made for index in range(len(order)) for image in batch(order, index))
        assert seen == Counter(range(count))


@pytest.mark.parametrize(("count", "batch_size", "ranks"), DIVISIONS)
def test_batches_have_their_size_and_none_is_too_small_for_batch_norm(count: int, batch_size: int, ranks: int) -> None:
    for order in orders(count, batch_size, ranks):
        sizes = [len(batch(order, index)) for index in range(len(order))]
        assert sizes == [order.size(index) for index in range(len(order))]
        if min(count, batch_size) >= 2 * ranks:
            assert min(sizes) >= 2
        assert len(order) == 1 or all(
            stop - start == batch_size for start, stop in map(order.bounds, range(len(order) - 1))
        )


@pytest.mark.parametrize(("count", "batch_size", "ranks"), DIVISIONS)
def test_shares_make_the_mean_over_ranks_the_mean_over_images(count: int, batch_size: int, ranks: int) -> None:
    losses = np.random.RandomState(0).rand(count)
    made = orders(count, batch_size, ranks)
    for index in range(len(made[0])):
        images = [batch(order, index) for order in made]
        weighted = [order.share(index) * losses[own].mean() for order, own in zip(made, images, strict=True)]
        assert np.mean(weighted) == pytest.approx(losses[np.concatenate(images)].mean())


def test_the_order_is_a_function_of_seed_and_epoch_alone() -> None:
    def drawn(seed: int, epoch: int, batch_size: int = 8, rank: int = 0, ranks: int = 1) -> list[int]:
        order = Order(50, batch_size, seed=seed, shuffle=True, rank=rank, ranks=ranks)
        np.random.rand()  # a global state that must not matter
        order.set_epoch(epoch)
        return [int(image) for image in order.indices()]

    assert drawn(1, 5) == drawn(1, 5) == drawn(1, 5, batch_size=13) == drawn(1, 5, rank=1, ranks=2)
    assert len({tuple(drawn(seed, epoch)) for seed in (0, 1, 2) for epoch in (0, 1, 2)}) == 9
    assert drawn(1, 5) != sorted(drawn(1, 5))


def test_without_shuffling_every_epoch_is_in_order() -> None:
    order = Order(5, 2, seed=0, shuffle=False)
    order.set_epoch(7)
    assert order.indices().tolist() == [0, 1, 2, 3, 4]
