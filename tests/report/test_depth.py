"""The picture of cost and receptive field over depth."""

import torch
from torch import nn

from convkit.convnet import Wrapped
from convkit.inspection.layers import inspect
from convkit.report.depth import depth_figure


def test_bars_are_the_tables_figures() -> None:
    net = Wrapped(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 8, 3, 2), nn.ReLU(), nn.Flatten(), nn.LazyLinear(5)),
        {"conv1": "1", "conv2": "3", "head": "5"},
    )
    net(torch.zeros(1, 3, 16, 16))
    table = inspect(net, (3, 16, 16))
    figure = depth_figure(table, "small")
    macs, parameters, field = figure.axes
    rows = [row for row in table.layers if row.macs]
    assert [bar.get_height() for bar in macs.patches] == [row.macs for row in rows]
    assert [bar.get_height() for bar in parameters.patches] == [row.parameters for row in rows]
    assert list(field.lines[0].get_ydata()) == [3, 5, 15]
    assert [text.get_text() for text in macs.texts] == ["conv1", "conv2", "head"]
    assert f"{table.parameters:,} parameters" in figure.get_suptitle()


def test_a_field_that_is_not_known_is_left_out() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Upsample(scale_factor=2), nn.Conv2d(4, 4, 3))
    figure = depth_figure(inspect(net, (3, 16, 16)), "lost")
    assert list(figure.axes[2].lines[0].get_ydata()) == [3]
