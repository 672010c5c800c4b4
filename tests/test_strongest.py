"""The strongest activations, against sorting all of them."""

import pytest
import torch
from torch import Tensor

from convkit.errors import UserError
from convkit.strongest import Strongest, spatial_maximum

Entry = tuple[float, int, int]


def brute_force(maps: Tensor, images: list[int], top: int) -> list[list[Entry]]:
    """Of each map value, image and place of its strongest, by a plain loop over every activation."""
    found = []
    for channel in range(maps.shape[1]):
        entries = []
        for image, one in zip(images, maps[:, channel].flatten(1).tolist(), strict=True):
            best = max(range(len(one)), key=lambda place: (one[place], -place))
            entries.append((one[best], image, best))
        found.append(sorted(entries, key=lambda entry: (-entry[0], entry[1]))[:top])
    return found


def entries(strongest: Strongest) -> list[list[Entry]]:
    columns = (strongest.values.tolist(), strongest.images.tolist(), strongest.places.tolist())
    return [[entry for entry in zip(*rows, strict=True) if entry[1] >= 0] for rows in zip(*columns, strict=True)]


def activations(kind: str) -> Tensor:
    """60 images of 7 maps of 5×4. ``tied``: a handful of values, zeros mostly, one map that is dead."""
    maps = torch.randn(60, 7, 5, 4)
    if kind == "tied":
        maps = (maps * 1.2).round().relu()
        maps[:, 3] = 0
    return maps


@pytest.mark.parametrize("kind", ["distinct", "tied"])
@pytest.mark.parametrize("top", [1, 9, 70])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_as_brute_force_in_any_order_of_batches(kind: str, top: int, layout: torch.memory_format) -> None:
    maps = activations(kind)
    wanted = brute_force(maps, list(range(60)), top)
    for order in (torch.arange(60), torch.randperm(60), torch.arange(60).flip(0)):
        strongest = Strongest(7, top)
        for batch in order.split(13):
            strongest.update(maps[batch].contiguous(memory_format=layout), batch)
        assert entries(strongest) == wanted


@pytest.mark.parametrize("top", [1, 9])
def test_parts_of_several_processes_merged_are_those_of_one(top: int) -> None:
    maps = activations("tied")
    for ranks in (2, 3):
        parts = [Strongest(7, top) for _ in range(ranks)]
        for rank, part in enumerate(parts):
            for batch in torch.arange(rank, 60, ranks).split(7):
                part.update(maps[batch], batch)
        merged = Strongest(7, top)
        came_from = merged.merge(parts)
        assert entries(merged) == brute_force(maps, list(range(60)), top)
        assert torch.equal(came_from, merged.images % ranks)
        again = Strongest(7, top)
        again.merge([merged, merged, *parts])  # as ranks do that go on from a common checkpoint
        assert entries(again) == entries(merged)


def test_what_changed_is_told() -> None:
    strongest = Strongest(3, 2)
    maps = torch.tensor([[1.0, 5, 0], [3, 4, 0]])
    won = strongest.update(maps, torch.tensor([10, 11]))
    assert won is not None
    assert won.maps.tolist() == [0, 1, 2]
    assert won.sources.tolist() == [[1, 0], [0, 1], [0, 1]]
    won = strongest.update(torch.tensor([[2.0, 4, 0]]), torch.tensor([12]))  # no later image ousts its equal
    assert won is not None
    assert won.maps.tolist() == [0]
    assert won.sources[0].tolist() == [-2, 0]  # the first was there, the second is the batch's first
    assert strongest.update(torch.zeros(1, 3), torch.tensor([13])) is None


def test_a_state_goes_on_as_if_nothing_had_been() -> None:
    maps = activations("tied")
    whole, first, second = (Strongest(7, 9) for _ in range(3))
    for batch in torch.arange(60).split(10):
        whole.update(maps[batch], batch)
    first.update(maps[:30], torch.arange(30))
    second.load_state_dict(first.state_dict())
    second.update(maps[30:], torch.arange(30, 60))
    assert entries(second) == entries(whole)
    with pytest.raises(UserError, match=r"kept of 7×9 \(maps × images\), and are now 7×1$"):
        Strongest(7, 1).load_state_dict(first.state_dict())


def test_a_map_with_nan_in_it_is_left_out() -> None:
    strongest, maps = Strongest(2, 2), torch.rand(4, 2, 3, 3)
    maps[1, 0, 1, 1] = maps[2, 0, 0, 0] = maps[3, 0, 2, 2] = torch.nan
    strongest.update(maps, torch.arange(4))
    assert strongest.images[0].tolist() == [0, -1]
    assert (strongest.images[1] >= 0).all()


def test_nothing_of_the_graph_is_kept_and_half_precision_will_do() -> None:
    maps = torch.randn(4, 2, 3, 3, requires_grad=True)
    strongest = Strongest(2, 1)
    strongest.update(maps.bfloat16(), torch.arange(4))
    assert not strongest.values.requires_grad
    assert torch.equal(strongest.values[:, 0], maps.bfloat16().float().amax((0, 2, 3)))


def test_the_way_of_other_devices_gives_the_same() -> None:
    """Where a question would stop the device all maps are worked out in every batch."""
    maps = activations("tied")
    strongest = Strongest(7, 9)
    strongest.asks = False
    for batch in torch.randperm(60).split(13):
        strongest.update(maps[batch], batch)
    assert entries(strongest) == brute_force(maps, list(range(60)), 9)


def test_the_maximum_over_space_in_every_memory_format() -> None:
    maps = torch.randn(3, 4, 6, 5)
    for one in (maps, maps.contiguous(memory_format=torch.channels_last), maps.transpose(2, 3), maps[:, ::2, 1:]):
        assert torch.equal(spatial_maximum(one), one.flatten(2).max(2).values)
