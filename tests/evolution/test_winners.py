"""What the winners saw, against a plain loop; on several processes; on devices that nobody waits for."""

import pytest
import torch
from torch import Tensor

from convkit.architectures.lenet import LeNet
from convkit.errors import UserError
from convkit.evolution.winners import Winners
from convkit.inspection.units import units
from convkit.taps import taps

PICTURED = [0, 3, 15]


@pytest.fixture(scope="module")
def seen() -> tuple[LeNet, Tensor, Tensor]:
    """Activations of conv3 over 40 images; pairs of images that are equal."""
    torch.manual_seed(0)
    net, images = LeNet(10, (1, 20, 24)).eval(), torch.randn(40, 1, 20, 24)
    images[20:] = images[:20]
    kept: list[Tensor] = []
    with torch.no_grad(), taps(net, ["conv3"], lambda stage, output: kept.append(output)):
        net(images)
    return net, images, kept[0]


def winners(net: LeNet) -> Winners:
    return Winners(units(net, (1, 20, 24), ["conv3"])["conv3"], PICTURED, 1, torch.device("cpu"))


def assert_right(found: Winners, images: Tensor, maps: Tensor) -> None:
    height, width = found.windows.size
    for slot, channel in enumerate(PICTURED):
        values = maps[:, channel].flatten(1).amax(1)
        image = int((values == values.max()).nonzero()[0])
        place = int(maps[image, channel].flatten().argmax())
        assert (found.strongest.images[channel, 0], found.places[slot]) == (image, place)
        row, column = found.units.place(place)
        top, left = found.units.rows.start(row), found.units.columns.start(column)
        assert torch.equal(found.patches[slot], images[image, :, top : top + height, left : left + width])


@pytest.mark.parametrize("asks", [True, False], ids=["processor", "other devices"])
def test_of_each_pictured_map_what_its_winner_saw(seen: tuple[LeNet, Tensor, Tensor], asks: bool) -> None:
    net, images, maps = seen
    found = winners(net)
    found.strongest.asks = asks
    for batch in torch.randperm(40).split(7):
        found.update(maps[batch], batch, images[batch])
    assert_right(found, images, maps)


def test_processes_agree_on_the_winners_and_what_they_saw(seen: tuple[LeNet, Tensor, Tensor]) -> None:
    net, images, maps = seen
    parts = [winners(net) for _ in range(3)]
    for rank, part in enumerate(parts):
        for batch in torch.arange(rank, 40, 3).split(5):
            part.update(maps[batch], batch, images[batch])
    for _ in range(2):  # merged again, as at a checkpoint and at the end of the epoch, nothing changes
        given = [part.state_dict() for part in parts]

        def gather(value: Tensor, given: list[dict[str, Tensor]] = given) -> list[Tensor]:
            (name,) = {key for state in given for key, kept in state.items() if key != "pictured"
                       and kept.shape == value.shape and torch.equal(kept, value)}  # fmt: skip
            return [state[name] for state in given]

        for part in parts:
            part.merge(gather)
            assert_right(part, images, maps)


def test_a_state_is_gone_on_with_and_one_of_other_maps_refused(seen: tuple[LeNet, Tensor, Tensor]) -> None:
    net, images, maps = seen
    first, second = winners(net), winners(net)
    first.update(maps[:13], torch.arange(13), images[:13])
    second.load_state_dict(first.state_dict())
    second.update(maps[13:], torch.arange(13, 40), images[13:])
    assert_right(second, images, maps)
    other = Winners(second.units, [0, 3, 14], 1, torch.device("cpu"))
    with pytest.raises(UserError, match=r"^stage conv3: the checkpoint kept pictures of other feature maps$"):
        other.load_state_dict(first.state_dict())
