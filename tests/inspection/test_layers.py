"""The table's costs against torchvision's published figures, torch's own counter, and modules counted by hand."""

import warnings

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.utils.flop_counter import FlopCounterMode

from convkit.convnet import Wrapped
from convkit.inspection.layers import Row, Table, inspect


def torchvision_net(name: str) -> nn.Module:
    with warnings.catch_warnings(), torch.device("meta"):
        warnings.simplefilter("ignore", FutureWarning)  # about its own default initialisation
        return torchvision.models.get_model(name)


def table(*layers: nn.Module, image: tuple[int, int, int] = (3, 32, 32)) -> Table:
    return inspect(nn.Sequential(*layers), image)


def only(*layers: nn.Module, image: tuple[int, int, int] = (3, 32, 32)) -> Row:
    return table(*layers, image=image).layers[-1]


@pytest.mark.parametrize(
    "name",
    ["alexnet", "vgg16", "googlenet", "resnet50", "resnext50_32x4d", "densenet121", "mobilenet_v2", "inception_v3"],
)
def test_costs_equal_torchvisions_and_torchs(name: str) -> None:
    net = torchvision_net(name).eval()
    meta = torchvision.models.get_model_weights(name).DEFAULT.meta
    side = 299 if name == "inception_v3" else 224
    found = inspect(net, (3, side, side))
    assert round(found.macs / 1e9, 3) == meta["_ops"]
    with FlopCounterMode(display=False) as counter:
        net(torch.empty(1, 3, side, side, device="meta"))
    assert counter.get_total_flops() == 2 * found.macs
    assert found.parameters == sum(value.numel() for value in net.parameters())
    if name != "inception_v3":  # its figure there includes the auxiliary head
        assert found.parameters - found.idle_parameters == meta["num_params"]


def test_auxiliary_heads_are_idle() -> None:
    net = torchvision_net("googlenet")
    heads = sum(value.numel() for head in (net.aux1, net.aux2) for value in head.parameters())
    assert inspect(net, (3, 224, 224)).idle_parameters == heads == 6_379_984


def test_alexnets_sizes_and_neurons() -> None:
    """As torchvision has it; conv1's 55·55·64 are 290,400 with the paper's 96 maps."""
    shapes = [row.output_shape for row in inspect(torchvision_net("alexnet"), (3, 224, 224)).layers if row.macs]
    assert shapes[:5] == [(64, 55, 55), (192, 27, 27), (384, 13, 13), (256, 13, 13), (256, 13, 13)]
    assert shapes[5:] == [(4096,), (4096,), (1000,)]


def test_modes_and_weights_stay_as_they_are() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout())
    net[2].eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    inspect(net, (3, 9, 9))
    assert [module.training for module in net.modules()] == [True, True, True, False]
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert not net[0]._forward_hooks
    assert not net[0]._forward_pre_hooks


@pytest.mark.parametrize(
    ("layer", "padding"),
    [
        (nn.Conv2d(3, 4, 3), "valid"),
        (nn.Conv2d(3, 4, 3, padding="same"), "same"),
        (nn.Conv2d(3, 4, 4, 2, padding=1), "same"),
        (nn.Conv2d(3, 4, 3, padding=2), "full"),
        (nn.Conv2d(3, 4, 11, 4, padding=2), "2"),
        (nn.Conv2d(3, 4, (3, 5), padding=(1, 0)), "same×valid"),
        (nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"), "same"),
        (nn.MaxPool2d(3, 2, ceil_mode=True), "same"),
        (nn.AvgPool2d(2), "valid"),
        (nn.ReLU(), None),
    ],
)
def test_padding(layer: nn.Module, padding: str | None) -> None:
    assert only(layer).padding == padding


@pytest.mark.parametrize(
    ("layers", "size", "stride"),
    [
        ([nn.Conv2d(3, 4, 3, 2), nn.Conv2d(4, 4, 1, 2), nn.Conv2d(4, 4, 3)], 11, 4),  # a strided 1×1 skips
        ([nn.Conv2d(3, 4, 2, 2), nn.Conv2d(4, 4, 4, padding=1)], 8, 2),  # even kernels
        ([nn.Conv2d(3, 4, 3, dilation=3)], 7, 1),
        ([nn.Conv2d(3, 4, (1, 7), stride=(2, 1))], (1, 7), (2, 1)),
        ([nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(5)], 8, 6),  # 30 to 5: windows of 6
    ],
)
def test_receptive_fields_of_small_stacks(layers: list[nn.Module], size: object, stride: object) -> None:
    row = only(*layers)
    pair = [value if isinstance(value, tuple) or value is None else (value, value) for value in (size, stride)]
    assert [row.receptive_field, row.stride] == pair


class Functional(nn.Module):
    """A unit without modules for what joins and moves."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.small, self.large = kind, nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 5, padding=2)

    def forward(self, x: Tensor) -> Tensor:
        small, large = self.small(x), self.large(x)
        if self.kind == "cat":
            return torch.cat([small, large], 1)
        if self.kind == "add_":
            small += large
            return F.relu(small)
        if self.kind == "slice and pad":
            return F.pad(F.pad(small, (1, 1, 1, 1))[:, :, ::2, ::2], (0, 0, 0, 0, 0, 4))
        if self.kind == "gate":
            return small * large.mean((2, 3), keepdim=True).sigmoid()
        if self.kind == "shuffle":
            return torch.cat([small, large], 1).view(-1, 2, 4, 32, 32).transpose(1, 2).flatten(1, 2)
        if self.kind == "channels last":
            return F.layer_norm(small.permute(0, 2, 3, 1), (4,)).permute(0, 3, 1, 2) + large
        if self.kind == "group norm":
            return F.group_norm(small, 2)
        if self.kind == "written into":
            out = torch.zeros_like(x)
            out[:, :2] = large[:, :2]
            return out + small
        if self.kind == "space to depth":
            return F.pixel_unshuffle(small, 2)
        return F.interpolate(small, scale_factor=2)


@pytest.mark.parametrize(
    ("kind", "size", "stride"),
    [
        ("cat", 9, 2),  # 5 pixels of a map with stride 2, before them 1
        ("add_", 9, 2),
        ("slice and pad", 5, 4),
        ("shuffle", 9, 2),
        ("channels last", 9, 2),
    ],
)
def test_functional_operations(kind: str, size: int, stride: int) -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 1, 2), Functional(kind), nn.Identity(), nn.ReLU())
    row = inspect(net, (3, 64, 64)).layers[-1]
    assert (row.receptive_field, row.stride) == ((size, size), (stride, stride))


@pytest.mark.parametrize("kind", ["gate", "group norm"])
def test_what_sees_all_is_marked(kind: str) -> None:
    rows = table(nn.Conv2d(3, 4, 1, 2), Functional(kind), nn.ReLU(), nn.Conv2d(4, 4, 3), image=(3, 64, 64)).layers
    assert [row.whole_image for row in rows] == [False, False, False, True, True]
    assert rows[-1].stride == (2, 2)


@pytest.mark.parametrize(
    ("kind", "blamed"),
    [("written into", "copy_"), ("space to depth", "pixel_unshuffle"), ("interpolate", "upsample_nearest2d")],
)
def test_what_is_not_understood_is_said(kind: str, blamed: str) -> None:
    row = table(nn.Conv2d(3, 4, 1), Functional(kind), nn.ReLU()).layers[-1]
    assert row.receptive_field is None
    assert row.stride is None
    assert row.lost == blamed


def test_a_layer_that_is_used_twice_has_two_rows_and_its_parameters_once() -> None:
    shared = nn.Conv2d(3, 3, 3)
    rows = table(shared, nn.ReLU(), shared).layers
    assert [(row.name, row.parameters, row.receptive_field) for row in rows] == [
        ("0", 84, (3, 3)),
        ("1", 0, (3, 3)),
        ("0", 0, (5, 5)),
    ]


def test_attention_counts_its_products_and_sees_all() -> None:
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            tokens = x.flatten(2).transpose(1, 2)
            out: Tensor = self.inner(tokens, tokens, tokens, need_weights=False)[0]
            return out

    found = inspect(nn.Sequential(nn.Conv2d(3, 8, 8, 8), Attention()), (3, 32, 32))
    tokens, width = 16, 8
    assert found.macs == 16 * 8 * 3 * 64 + tokens * width * width * 4 + 2 * tokens * tokens * width
    assert found.idle_parameters == 0
    assert found.layers[-1].whole_image


def test_what_a_convolution_costs_otherwise() -> None:
    row = only(nn.Conv2d(3, 5, 7, bias=False), image=(3, 30, 30))
    assert row.locally_connected is not None
    assert row.dense is not None
    assert (row.parameters, row.locally_connected.parameters, row.dense.parameters) == (735, 423_360, 7_776_000)
    assert (row.macs, row.locally_connected.macs, row.dense.macs) == (423_360, 423_360, 7_776_000)
    assert only(nn.ReLU()).dense is None
    grouped = only(nn.Conv2d(4, 8, 3, groups=2), image=(4, 10, 10))
    assert grouped.locally_connected is not None
    assert grouped.locally_connected.parameters == 8 * 8 * (8 * 2 * 9) + 8 * 8 * 8


def test_stages_share_out_all_costs() -> None:
    net = Wrapped(torchvision_net("resnet18"), {"conv1": "relu", "conv2": "layer1", "conv5": "layer4", "head": "fc"})
    found = inspect(net, (3, 224, 224))
    assert [row.name for row in found.stages] == ["conv1", "conv2", "conv5", "head"]
    assert sum(row.macs for row in found.stages) == found.macs
    assert sum(row.parameters for row in found.stages) == found.parameters == 11_689_512
    assert [row.receptive_field for row in found.stages][:3] == [(7, 7), (43, 43), (435, 435)]


def test_an_image_that_does_not_get_through() -> None:
    with pytest.raises(RuntimeError):
        inspect(nn.Conv2d(3, 4, 5), (3, 4, 4))


def test_a_wrapped_network_names_its_stages_and_takes_its_own_keys() -> None:
    inner = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    net = Wrapped(inner, {"conv1": "1"})
    assert net.stage("conv1") is inner[1]
    assert {net.rename_key(key) for key in inner.state_dict()} == set(net.state_dict())
    assert {net.rename_key(key) for key in net.state_dict()} == set(net.state_dict())
    with pytest.raises(ValueError, match="no module 'relu' for the stage conv1"):
        Wrapped(inner, {"conv1": "relu"})
