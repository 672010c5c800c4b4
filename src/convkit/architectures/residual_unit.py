"""Residual units and a net made of them: what ResNet, its CIFAR form and ResNeXt have in common.

He, Zhang, Ren, Sun 2016a, "Deep residual learning for image recognition"; 2016b, "Identity mappings in deep residual
networks"; Xie, Girshick, Dollár, Tu, He 2017, "Aggregated residual transformations for deep neural networks".
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the field's own name

from convkit.convnet import ConvNet
from convkit.errors import did_you_mean

Shortcut = Literal["identity", "projection", "projection_everywhere"]  # He et al. 2016a, §3.3: options A, B, C
Unit = Literal[
    "original",
    "batch_norm_after_addition",
    "relu_before_addition",
    "relu_only_preactivation",
    "full_preactivation",
]


class Order(NamedTuple):
    """Where a unit has its batch norm and ReLU, apart from between two convolutions, where every order has both."""

    before: tuple[str, ...]  # of the first convolution: the pre-activation
    last: tuple[str, ...]  # between the last convolution and the addition
    after: tuple[str, ...]  # after the addition


ORDERS: Mapping[str, Order] = {  # He et al. 2016b, Fig. 4 (a) to (e)
    "original": Order((), ("bn",), ("relu",)),
    "batch_norm_after_addition": Order((), (), ("bn", "relu")),
    "relu_before_addition": Order((), ("bn", "relu"), ()),
    "relu_only_preactivation": Order(("relu",), ("bn",), ()),
    "full_preactivation": Order(("bn", "relu"), (), ()),
}


class Convolution(nn.Conv2d):
    """Without bias, as batch norm has one. Initialised as in He et al. 2015, by fan-out like torchvision's."""

    def __init__(self, maps_in: int, maps: int, size: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(maps_in, maps, size, stride, padding=size // 2, groups=groups, bias=False)

    def reset_parameters(self) -> None:
        nn.init.kaiming_normal_(self.weight, mode="fan_out", nonlinearity="relu")


# (maps in, width of the stage, stride) to a unit's convolutions
Convolutions = Callable[[int, int, int], Sequence[Convolution]]


def basic(maps_in: int, width: int, stride: int) -> list[Convolution]:
    """Two 3×3 convolutions (He et al. 2016a, Fig. 5 left)."""
    return [Convolution(maps_in, width, 3, stride), Convolution(width, width, 3)]


def bottleneck(
    maps_in: int, width: int, stride: int, stride_at: str = "3x3", inner: int = 64, cardinality: int = 1
) -> list[Convolution]:
    """1×1, 3×3, 1×1 to 4·``width`` maps (He et al. 2016a, Fig. 5 right; Xie et al. 2017, Fig. 3c).

    Args:
        maps_in: maps of the unit's input.
        width: 64 in the first stage of an ImageNet net.
        stride: of the unit.
        stride_at: the convolution that has it: ``1x1``, the first, or ``3x3``.
        inner: maps between the convolutions, where ``width`` is 64; scales with it.
        cardinality: groups of the 3×3 convolution.
    """
    maps = inner * width // 64
    at_first, at_second = (stride, 1) if stride_at == "1x1" else (1, stride)
    return [
        Convolution(maps_in, maps, 1, at_first),
        Convolution(maps, maps, 3, at_second, cardinality),
        Convolution(maps, 4 * width, 1),
    ]


class ResidualUnit(nn.Module):
    """Convolutions with batch norm and ReLU in one of five orders, and the shortcut around them.

    Modules are numbered by kind as they come: ``conv1``, ``bn1``, ``relu1``, ``conv2`` … The shortcut is
    ``downsample``, torchvision's name. An identity takes the unit's input itself. A projection takes what the first
    convolution takes, and ends in batch norm where the branch has one before the addition: so does the published code
    of 2016a for ``original`` and of 2016b for ``full_preactivation``, and the other orders follow by analogy.

    Args:
        convolutions: of the branch, in order.
        order: a row of :data:`ORDERS`.
        shortcut: its kind; None leaves the plain net's layers.
        activated: the input has the pre-activation already.
    """

    def __init__(
        self, convolutions: Sequence[Convolution], order: Order, shortcut: str | None, activated: bool = False
    ) -> None:
        super().__init__()
        maps_in, maps = convolutions[0].in_channels, convolutions[-1].out_channels
        stride = max(convolution.stride[0] for convolution in convolutions)
        seen: Counter[str] = Counter()

        def add(kind: str, module: nn.Module) -> str:
            seen[kind] += 1
            self.add_module(f"{kind}{seen[kind]}", module)
            return f"{kind}{seen[kind]}"

        def activate(kinds: Sequence[str], maps: int) -> list[str]:
            # in place, but for a ReLU on the unit's own input, which the shortcut needs as it is
            return [add(kind, _ACTIVATIONS[kind](maps, bool(seen))) for kind in kinds]

        self.before = activate(() if activated else order.before, maps_in)
        self.branch: list[str] = []
        for convolution in convolutions[:-1]:
            self.branch += [add("conv", convolution), *activate(("bn", "relu"), convolution.out_channels)]
        self.branch += [add("conv", convolutions[-1]), *activate(order.last, maps)]
        self.after = activate(order.after, maps)
        changes = stride != 1 or maps_in != maps
        self.projects = shortcut == "projection_everywhere" or (shortcut == "projection" and changes)
        self.downsample: nn.Module | None = nn.Identity()
        if shortcut is None:
            self.downsample = None
        elif self.projects:
            norm = [nn.BatchNorm2d(maps)] if "bn" in order.last else []
            self.downsample = nn.Sequential(Convolution(maps_in, maps, 1, stride), *norm)
        elif changes:
            self.downsample = PaddedIdentity(maps - maps_in, stride)

    def forward(self, x: Tensor) -> Tensor:
        activated = self._through(self.before, x)
        y = self._through(self.branch, activated)
        if self.downsample is not None:
            y = y + self.downsample(activated if self.projects else x)
        return self._through(self.after, y)

    def _through(self, names: Sequence[str], x: Tensor) -> Tensor:
        for name in names:
            x = getattr(self, name)(x)
        return x


class PaddedIdentity(nn.Module):
    """Every ``stride``-th pixel, with zero maps on both sides: option A, no parameters (He et al. 2016a, §3.3)."""

    def __init__(self, maps_added: int, stride: int) -> None:
        super().__init__()
        self.maps_added, self.stride = maps_added, stride

    def forward(self, x: Tensor) -> Tensor:
        before = self.maps_added // 2
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, before, self.maps_added - before))

    def extra_repr(self) -> str:
        return f"maps_added={self.maps_added}, stride={self.stride}"


class ResidualNet(ConvNet):
    """A first convolution, stages of residual units, global average pooling and a linear layer.

    Stages: ``conv1`` is the ReLU after the first convolution; ``conv2`` and on are the outputs of their last units, for
    orders without a nonlinearity after the addition the sum itself; ``head`` the linear layer.

    Args:
        conv1: the first convolution.
        maxpool: what follows its batch norm and ReLU.
        counts: units of each stage; all stages but the first begin with stride 2.
        widths: of each stage.
        convolutions: makes those of a unit.
        unit: the name of its order.
        shortcut: its kind; None for the plain net.
        num_classes: K.
    """

    def __init__(
        self,
        conv1: Convolution,
        maxpool: nn.Module,
        counts: Sequence[int],
        widths: Sequence[int],
        convolutions: Convolutions,
        unit: str,
        shortcut: str | None,
        num_classes: int,
    ) -> None:
        super().__init__()
        order, maps = ORDERS[unit], conv1.out_channels
        self.conv1, self.bn1, self.relu, self.maxpool = conv1, nn.BatchNorm2d(maps), nn.ReLU(inplace=True), maxpool
        self.layers = [f"layer{index}" for index in range(1, len(counts) + 1)]
        for layer, count, width in zip(self.layers, counts, widths, strict=True):
            units: list[nn.Module] = []
            for index in range(count):
                # 2016b, appendix: the first pre-activation comes right after conv1, before the paths part
                first = layer == "layer1" and index == 0
                stride = 2 if index == 0 and not first else 1
                branch = convolutions(maps, width, stride)
                units.append(ResidualUnit(branch, order, shortcut, activated=first))
                maps = branch[-1].out_channels
            self.add_module(layer, nn.Sequential(*units))
        # 2016b, appendix: the last unit gets an extra activation right after its addition
        # in place, but for a ReLU on the sum itself, which is a stage
        last = [_ACTIVATIONS[kind](maps, index > 0) for index, kind in enumerate(order.before)]
        self.last = nn.Sequential(*last) if last else None
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(maps, num_classes)
        self.stages = {
            "conv1": "relu",
            **{f"conv{index}": layer for index, layer in enumerate(self.layers, start=2)},
            "head": "fc",
        }

    def forward(self, images: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        for layer in self.layers:
            x = getattr(self, layer)(x)
        if self.last is not None:
            x = self.last(x)
        logits: Tensor = self.fc(self.avgpool(x).flatten(1))
        return logits


def check(owner: str, option: str, value: object, choices: Collection[Any]) -> None:
    """Whether an option's value is one of its choices.

    Raises:
        ValueError: it is none; names the nearest.
    """
    if value in choices:
        return
    if isinstance(value, int):
        nearest = min(choices, key=lambda choice: abs(choice - value))
        raise ValueError(f"{owner}: {option} is one of {', '.join(map(str, choices))}, not {value}; try {nearest}")
    raise ValueError(f"{owner}: there is no {option} {value!r}{did_you_mean(str(value), choices)}")


_ACTIVATIONS: Mapping[str, Callable[[int, bool], nn.Module]] = {
    "bn": lambda maps, inplace: nn.BatchNorm2d(maps),
    "relu": lambda maps, inplace: nn.ReLU(inplace),
}
