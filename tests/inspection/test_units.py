"""Where units look, against the pixels that change them."""

import pytest
import torch
from torch import Tensor, nn

from convkit.architectures.alexnet import AlexNet
from convkit.architectures.densenet_cifar import DenseNetCifar
from convkit.architectures.lenet import LeNet
from convkit.architectures.resnet_cifar import ResNetCifar
from convkit.convnet import ConvNet, Wrapped
from convkit.errors import UserError
from convkit.inspection.units import Units, units
from convkit.projections import Windows
from convkit.taps import chosen_stages, taps


def linear(net: ConvNet) -> ConvNet:
    """Every pixel that may matter does: means for maxima, no rectifier, positive weights."""
    for name, module in list(net.named_modules()):
        parent, _, last = name.rpartition(".")
        if isinstance(module, nn.ReLU):
            setattr(net.get_submodule(parent), last, nn.Identity())
        elif isinstance(module, nn.MaxPool2d):
            pool = nn.AvgPool2d(module.kernel_size, module.stride, module.padding, module.ceil_mode)
            setattr(net.get_submodule(parent), last, pool)
    for value in net.parameters():
        value.data.fill_(1 / value[0].numel() if value.ndim > 1 else 1)
    return net.eval().double()


@pytest.mark.parametrize(
    ("net", "shape"),
    [
        (LeNet(10, (1, 28, 20)), (1, 28, 20)),
        (ResNetCifar(10, (3, 32, 24), depth=8), (3, 32, 24)),
        (AlexNet(10, (3, 96, 80)), (3, 96, 80)),
        (DenseNetCifar(10, (3, 32, 32), depth=10), (3, 32, 32)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, ConvNet) else None,
)
def test_a_unit_sees_what_its_gradient_does_not_leave_out(net: ConvNet, shape: tuple[int, int, int]) -> None:
    stages = chosen_stages(net, None, "")
    found = units(net, shape, stages)
    linear(net)
    image = torch.rand(1, *shape, dtype=torch.float64, requires_grad=True)
    outputs: dict[str, Tensor] = {}
    with taps(net, stages, outputs.__setitem__):
        net(image)
    for stage, output in outputs.items():
        one, maps = found[stage], output if output.ndim == 4 else output[:, :, None, None]
        assert maps.shape[1:] == (one.maps, one.rows.count, one.columns.count)
        height, width = maps.shape[2:]
        for row, column in {(0, 0), (height // 2, width // 2), (height - 1, 0), (height - 1, width - 1)}:
            (gradient,) = torch.autograd.grad(maps[0, -1, row, column], image, retain_graph=True)
            rows, columns = gradient[0].abs().sum(0).nonzero().unbind(1)
            box = tuple(map(int, (rows.min(), columns.min(), rows.max() + 1, columns.max() + 1)))
            assert one.box(row, column) == box, (stage, row, column)  # the last map: of a concatenation, the newest


def test_windows_hold_what_units_see_and_nothing_is_lost_of_it() -> None:
    net, images = ResNetCifar(10, (3, 32, 40), depth=8).eval(), torch.randn(5, 3, 32, 40)
    (one,) = units(net, (3, 32, 40), ["conv2"]).values()
    assert isinstance(one, Units)
    windows, places = Windows(one), torch.randperm(32 * 40)[:5]
    places[0], places[1] = 0, 32 * 40 - 1
    cut = windows.cut(images, torch.tensor([4, 1, 1, 2, 0]), places)
    assert cut.shape == (5, 3, *windows.size)
    assert windows.size == (7, 7)  # three 3×3 convolutions
    outputs: dict[str, Tensor] = {}
    values = []
    for batch in (images[torch.tensor([4, 1, 1, 2, 0])], windows.paste(cut, places)):
        with torch.no_grad(), taps(net, ["conv2"], outputs.__setitem__):
            net(batch)
        values.append(outputs["conv2"].flatten(2)[torch.arange(5), :, places])
    assert torch.allclose(*values, atol=1e-6)
    seen = windows.seen(places)
    assert seen[0].tolist() == [[row < 4 and column < 4 for column in range(7)] for row in range(7)]
    assert seen[1].flip(0, 1).equal(seen[0])


class Tokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patches, self.norm, self.head = nn.Conv2d(3, 8, 4, 4), nn.LayerNorm(8), nn.Linear(8, 2)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.norm(self.patches(images).permute(0, 2, 3, 1)).mean((1, 2)))
        return logits


def test_channels_that_come_last_are_not_taken_for_rows() -> None:
    net = Wrapped(Tokens(), {"patches": "patches", "norm": "norm", "head": "head"})
    assert units(net, (3, 8, 8), ["patches"])["patches"].maps == 8
    with pytest.raises(UserError, match=r"^stage norm puts out 2×2×8, which are no C×H×W maps"):
        units(net, (3, 8, 8), ["norm"])
