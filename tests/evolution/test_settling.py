"""When a stage settles, on moments whose changes are known."""

import warnings
from pathlib import Path
from typing import IO

import numpy as np
import pytest
import torch

from convkit.architectures.resnet_cifar import ResNetCifar
from convkit.callbacks.evolution_pages import EvolutionPages
from convkit.convnet import Wrapped
from convkit.evolution.filters import SAMPLE, filters
from convkit.evolution.history import History, Moment
from convkit.evolution.settling import cosines, distance, settling
from convkit.inspection.units import units
from convkit.projections import Windows, projections
from convkit.report.settling import settling_figure


def moment(images: list[int], ways: list[list[float]], weights: list[float]) -> Moment:
    count, places = len(images), np.zeros(len(images), np.int64)
    projections = np.array(ways, np.float16).reshape(len(ways), 1, 1, -1)
    patches = np.zeros(projections.shape, np.uint8)
    values = np.arange(count, dtype=np.float32)
    seen = np.ones((len(ways), *projections.shape[2:]), bool)
    return Moment(values, np.array(images), places, places, patches, projections, seen, np.array(weights, np.float32))


def history() -> History:
    made = History("conv1", [0, 1])
    made.add(5, moment([7, 2, 9, 4], [[0, 2], [-1, 0]], [3, 4]))
    made.add(1, moment([1, 2, 3, 4], [[1, 0], [1, 0]], [0, 0]))
    made.add(2, moment([1, 2, 3, 5], [[1, 1], [1, 0]], [3, 1]))
    return made


def test_what_changes_between_epochs() -> None:
    first, second, third = settling(history(), np.array([3, 4], np.float32))
    assert (first.epoch, first.winners, first.projections, first.filters) == (1, None, None, 1)
    assert (second.epoch, second.winners) == (2, 0.25)
    assert second.projections == pytest.approx((1 - 0.5**0.5) / 2, abs=1e-6)
    assert second.filters == pytest.approx(3 / 5)
    assert (third.epoch, third.winners, third.filters) == (5, 0.75, 0)
    assert third.projections == pytest.approx((1 - 0.5**0.5 + 2) / 2, abs=1e-6)


def test_nothing_is_like_nothing_and_unlike_something() -> None:
    nothing, something = np.zeros((1, 3)), np.ones((1, 3))
    assert cosines(nothing, nothing) == 1
    assert cosines(nothing, something) == cosines(something, nothing) == 0
    assert distance(np.empty(0), np.empty(0)) is None


def test_a_history_is_read_back(tmp_path: Path) -> None:
    history().save(tmp_path)
    again = History("conv1", [0, 1])
    assert again.load(tmp_path, [1, 2])
    assert list(again.moments) == [1, 2]
    for field in Moment._fields:
        assert np.array_equal(again.stacked(field), history().stacked(field)[:2])
    assert not History("conv1", [0, 2]).load(tmp_path, [1])  # pictures of other maps
    assert not History("conv2", [0, 1]).load(tmp_path, [1])


def test_epochs_that_cannot_be_taken_along_are_told(tmp_path: Path) -> None:
    pages = EvolutionPages()
    pages.begin(tmp_path, {"conv1": (None, [0, 1])})
    with pytest.warns(UserWarning, match="no earlier epochs of conv1 are taken along from"):
        pages.take_along(tmp_path / "gone", [1, 2])
    assert pages.recorded == [1, 2]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pages.take_along(tmp_path / "gone", [])


def test_a_sample_of_the_filters_tells_how_far_all_have_come() -> None:
    net, other = ResNetCifar(10, (3, 32, 32)), ResNetCifar(10, (3, 32, 32))
    assert len(filters(net, "conv1")) == 16 * 27
    assert torch.equal(filters(net, "conv1"), net.state_dict()["conv1.weight"].flatten())
    assert len(filters(net, "conv4")) == SAMPLE
    every = [
        torch.cat(
            [value.detach().flatten() for name, value in one.named_parameters() if "layer3" in name and value.ndim == 4]
        )
        for one in (net, other)
    ]
    whole = float((every[0] - every[1]).norm() / every[1].norm())
    assert distance(filters(net, "conv4").numpy(), filters(other, "conv4").numpy()) == pytest.approx(whole, rel=0.01)


def test_a_curve_a_stage() -> None:
    rows = settling(history(), np.array([3, 4], np.float32))
    figure = settling_figure([*rows, *(row._replace(stage="conv2") for row in rows)])
    winners, projections, distances = figure.axes
    assert [line.get_label() for line in distances.lines] == ["conv1", "conv2"]
    assert winners.lines[0].get_xydata().tolist() == [[2, 0.25], [5, 0.75]]
    assert distances.lines[0].get_ydata().tolist() == pytest.approx([1, 0.6, 0])
    assert len(projections.lines) == 2


def test_a_unit_at_the_border_is_compared_about_its_own_place() -> None:
    """Three convolutions without pooling: the projection of a unit far from the border is the same anywhere, and at the
    border a part of it."""
    torch.manual_seed(0)
    layers = torch.nn.Sequential()
    for channels in (3, 4, 4):
        layers.extend([torch.nn.Conv2d(channels, 4, 3, padding=1), torch.nn.ReLU()])
    net = Wrapped(layers.append(torch.nn.Flatten()), {"conv3": "5"})
    one = units(net, (3, 16, 18), ["conv3"])["conv3"]
    windows = Windows(one)
    images, maps = torch.rand(4, 3, 16, 18), torch.zeros(4, dtype=torch.int64)
    places = torch.tensor([8 * 18 + 9, 6 * 18 + 5, 0 * 18 + 9, 15 * 18 + 17])
    ways = windows.cut(projections(net, images, one, maps, places), torch.arange(4), places)
    ways = ways / ways.abs().flatten(1).amax(1)[:, None, None, None]

    def moments(left: int, right: int) -> float:
        history = History("conv3", [0], one)
        for epoch, index in enumerate((left, right)):
            row, column = (np.array([int(value)]) for value in one.place(int(places[index])))
            empty = np.zeros((1, 3, *windows.size), np.uint8)
            seen = windows.seen(places[[index]]).numpy()
            way = ways[[index]].numpy()
            history.add(epoch, Moment(np.ones(1), np.array([index]), row, column, empty, way, seen, np.ones(2)))
        found = settling(history, np.ones(2))[1].projections
        assert found is not None
        return found

    assert moments(0, 1) == pytest.approx(0, abs=1e-6)
    for border in (2, 3):
        whole = np.zeros((3, 9, 9))
        one_way, other = ways[0].numpy(), ways[border].numpy()
        row, column = one.place(int(places[border]))
        down, right = (side.start(unit) - (unit - 3) for side, unit in ((one.rows, row), (one.columns, column)))
        for y in range(7):
            for x in range(7):
                if 0 <= y + down < 7 and 0 <= x + right < 7:
                    whole[:, y + down, x + right] = other[:, y, x]
        cosine = (one_way * whole[:, :7, :7]).sum() / np.linalg.norm(one_way) / np.linalg.norm(other)
        assert moments(0, border) == pytest.approx(1 - cosine, abs=1e-5)


def test_a_file_that_is_half_written_is_not_the_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    history().save(tmp_path)
    whole = history().path(tmp_path).read_bytes()

    def killed(file: IO[bytes], **fields: object) -> None:
        file.write(whole[:100])
        raise KeyboardInterrupt

    monkeypatch.setattr("numpy.savez", killed)
    with pytest.raises(KeyboardInterrupt):
        history().save(tmp_path)
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [whole]


@pytest.mark.parametrize("kept", [0, 2, 100, 0.5, -10])
def test_a_history_that_was_cut_is_none(tmp_path: Path, kept: float) -> None:
    history().save(tmp_path)
    file = history().path(tmp_path)
    whole = file.read_bytes()
    file.write_bytes(whole[: int(kept * len(whole)) if kept == 0.5 else int(kept)])
    assert not history().load(tmp_path, [1, 2])
