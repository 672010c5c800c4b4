"""The lecture's arithmetic, by hand and against torch."""

from itertools import product

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from convkit import arithmetic
from convkit.arithmetic import Cost, output_size, padding_mode, pads, receptive_field


def test_five_filters_of_7x7_on_three_channels() -> None:
    shared = arithmetic.convolution(3, 5, (7, 7), (24, 24), bias=False)
    assert shared.weights == 5 * 7 * 7 * 3 == 735
    layer = nn.Conv2d(3, 5, 7)
    assert layer(torch.zeros(1, 3, 30, 30)).shape[2:] == (24, 24)
    assert shared.weights == layer.weight.numel()
    assert shared._replace(biases=5).parameters == sum(value.numel() for value in layer.parameters())
    assert arithmetic.convolution(3, 5, (7, 7), (24, 24)) == Cost(735, 5, 24 * 24 * 735)


def test_the_same_with_filters_of_their_own_and_with_every_connection() -> None:
    local = arithmetic.locally_connected(3, 5, (7, 7), (24, 24), bias=False)
    assert local.weights == 24 * 24 * 5 * 7 * 7 * 3 == 423_360
    assert local.macs == arithmetic.convolution(3, 5, (7, 7), (24, 24)).macs == 423_360
    # one filter a location is what torch's unfold and a product for each location need
    patches = F.unfold(torch.zeros(1, 3, 30, 30), 7)
    assert patches.shape[1] * patches.shape[2] * 5 == local.weights
    dense = arithmetic.dense(30 * 30 * 3, 24 * 24 * 5)
    assert dense.weights == 30 * 30 * 3 * 24 * 24 * 5 == 7_776_000
    assert dense.parameters == sum(value.numel() for value in nn.Linear(2700, 2880, device="meta").parameters())


def test_the_5x5_image_under_the_3x3_filter() -> None:
    image = torch.tensor([[1, 1, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 1, 1], [0, 0, 1, 1, 0], [0, 1, 1, 0, 0]])
    weights = torch.tensor([[1, 0, 1], [0, 1, 0], [1, 0, 1]])
    expected = [[4, 3, 4], [2, 4, 3], [2, 3, 4]]
    size = output_size(5, 3)
    assert size == len(expected)
    by_hand = [
        [int((image[row : row + 3, column : column + 3] * weights).sum()) for column in range(size)]
        for row in range(size)
    ]
    assert by_hand == expected
    layer = F.conv2d(image[None, None].float(), weights[None, None].float())
    assert layer.squeeze().tolist() == expected


@pytest.mark.parametrize("padding", ["valid", "same", "full", 1, (2, 0)])
def test_output_sizes_against_torch(padding: arithmetic.Padding) -> None:
    for size, kernel, stride, dilation in product((5, 6, 7, 11, 16), (1, 2, 3, 5), (1, 2, 3), (1, 2)):
        before, after = pads(size, kernel, stride, padding, dilation)
        line = F.pad(torch.zeros(1, 1, size), (before, after))
        if line.shape[2] < dilation * (kernel - 1) + 1:
            with pytest.raises(ValueError, match="smallest that works"):
                output_size(size, kernel, stride, padding, dilation)
            continue
        expected = F.conv1d(line, torch.zeros(1, 1, kernel), stride=stride, dilation=dilation).shape[2]
        assert output_size(size, kernel, stride, padding, dilation) == expected


def test_what_the_modes_mean() -> None:
    for size, kernel, stride in product((5, 6, 7, 16), (1, 2, 3, 5), (1, 2, 3)):
        assert output_size(size, kernel, stride, "same") == -(-size // stride)
        assert output_size(size, kernel, 1, "full") == size + kernel - 1
        if kernel <= size:
            assert output_size(size, kernel, 1, "valid") == size - kernel + 1
    # torch's own "same" is stride 1 alone
    line = torch.zeros(1, 1, 9)
    assert F.conv1d(line, torch.zeros(1, 1, 5), padding="same").shape[2] == output_size(9, 5, 1, "same")


def test_the_smallest_size_in_the_message_does_work() -> None:
    with pytest.raises(ValueError, match="9 is the smallest") as caught:
        output_size(3, 11, 4, 1)
    assert output_size(9, 11, 4, 1) == 1, caught.value
    with pytest.raises(ValueError, match="valid, same, full"):
        output_size(9, 3, padding="sane")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("size", "reach", "stride", "before", "after", "mode"),
    [
        (224, 3, 1, 0, 0, "valid"),
        (224, 3, 1, 1, 1, "same"),
        (224, 7, 2, 3, 3, "same"),  # ResNet's first
        (224, 11, 4, 2, 2, "2"),  # AlexNet's first
        (112, 3, 2, 0, 1, "same"),  # GoogLeNet's pooling, sizes rounded up
        (28, 3, 1, 2, 2, "full"),
        (28, 5, 1, 1, 0, "1+0"),
        (28, 1, 1, 0, 0, "valid"),
    ],
)
def test_names_of_paddings(size: int, reach: int, stride: int, before: int, after: int, mode: str) -> None:
    assert padding_mode(size, reach, stride, before, after) == mode


def test_two_3x3_see_5x5_and_three_7x7() -> None:
    assert receptive_field([(3, 1)] * 2) == (5, 1)
    assert receptive_field([(3, 1)] * 3) == (7, 1)
    assert receptive_field([(3, 1, 2)]) == (5, 1)
    # and cost less: the argument of Simonyan & Zisserman 2014, §2.3, for C maps throughout
    three, one = (count * side * side for count, side in ((3, 3), (1, 7)))
    assert (three, one) == (27, 49)


def test_alexnet_pool5_sees_195_with_stride_32() -> None:
    assert receptive_field([(11, 4), (3, 2), (5, 1), (3, 2), (3, 1), (3, 1), (3, 1), (3, 2)]) == (195, 32)
