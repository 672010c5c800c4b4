"""Inception v3 (Szegedy et al. 2016, "Rethinking the Inception architecture for computer vision", §6, Table 1)."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the field's own name

from convkit.architectures.conv_units import ConvUnit, FromImageNetStatistics, scaled
from convkit.convnet import ConvNet, Outputs
from convkit.errors import did_you_mean
from convkit.sizes import output_shape


class Conv(NamedTuple):
    """A convolution of a branch. With stride 2 it is not padded."""

    name: str  # torchvision's
    maps: int
    kernel: int | tuple[int, int]
    stride: int = 1


Fork = tuple[Conv, Conv]  # two convolutions side by side, their maps joined
Pool = Literal["average", "max/2"]
Branch = tuple[Conv | Fork | Pool, ...]


def _module_5(pooled: int) -> tuple[Branch, ...]:
    """Fig. 5: in its double branch the 5×5 filter has become two 3×3."""
    return (
        (Conv("branch1x1", 64, 1),),
        (Conv("branch5x5_1", 48, 1), Conv("branch5x5_2", 64, 5)),
        (Conv("branch3x3dbl_1", 64, 1), Conv("branch3x3dbl_2", 96, 3), Conv("branch3x3dbl_3", 96, 3)),
        ("average", Conv("branch_pool", pooled, 1)),
    )


def _module_6(maps: int) -> tuple[Branch, ...]:
    """Fig. 6: n×n, here 7×7, as 1×n and n×1."""
    across, down = (1, 7), (7, 1)
    return (
        (Conv("branch1x1", 192, 1),),
        (Conv("branch7x7_1", maps, 1), Conv("branch7x7_2", maps, across), Conv("branch7x7_3", 192, down)),
        (
            Conv("branch7x7dbl_1", maps, 1),
            Conv("branch7x7dbl_2", maps, down),
            Conv("branch7x7dbl_3", maps, across),
            Conv("branch7x7dbl_4", maps, down),
            Conv("branch7x7dbl_5", 192, across),
        ),
        ("average", Conv("branch_pool", 192, 1)),
    )


# Fig. 7: the last filters side by side, for more maps on the coarsest grid.
_MODULE_7: tuple[Branch, ...] = (
    (Conv("branch1x1", 320, 1),),
    (Conv("branch3x3_1", 384, 1), (Conv("branch3x3_2a", 384, (1, 3)), Conv("branch3x3_2b", 384, (3, 1)))),
    (
        Conv("branch3x3dbl_1", 448, 1),
        Conv("branch3x3dbl_2", 384, 3),
        (Conv("branch3x3dbl_3a", 384, (1, 3)), Conv("branch3x3dbl_3b", 384, (3, 1))),
    ),
    ("average", Conv("branch_pool", 192, 1)),
)
# Fig. 10: the grid is halved by convolutions and pooling side by side.
_HALVE_5: tuple[Branch, ...] = (
    (Conv("branch3x3", 384, 3, 2),),
    (Conv("branch3x3dbl_1", 64, 1), Conv("branch3x3dbl_2", 96, 3), Conv("branch3x3dbl_3", 96, 3, 2)),
    ("max/2",),
)
_HALVE_6: tuple[Branch, ...] = (
    (Conv("branch3x3_1", 192, 1), Conv("branch3x3_2", 320, 3, 2)),
    (
        Conv("branch7x7x3_1", 192, 1),
        Conv("branch7x7x3_2", 192, (1, 7)),
        Conv("branch7x7x3_3", 192, (7, 1)),
        Conv("branch7x7x3_4", 192, 3, 2),
    ),
    ("max/2",),
)
MIXED: dict[str, tuple[Branch, ...]] = {
    "Mixed_5b": _module_5(32),
    "Mixed_5c": _module_5(64),
    "Mixed_5d": _module_5(64),
    "Mixed_6a": _HALVE_5,
    "Mixed_6b": _module_6(128),
    "Mixed_6c": _module_6(160),
    "Mixed_6d": _module_6(160),
    "Mixed_6e": _module_6(192),
    "Mixed_7a": _HALVE_6,
    "Mixed_7b": _MODULE_7,
    "Mixed_7c": _MODULE_7,
}
# Name, maps, kernel, stride, whether padded; "pool" is 3×3 with stride 2.
Stem = tuple[tuple[str, int, int, int, bool] | tuple[str, Literal["pool"]], ...]
STEMS: dict[str, Stem] = {
    "imagenet": (
        ("Conv2d_1a_3x3", 32, 3, 2, False),
        ("Conv2d_2a_3x3", 32, 3, 1, False),
        ("Conv2d_2b_3x3", 64, 3, 1, True),
        ("maxpool1", "pool"),
        ("Conv2d_3b_1x1", 80, 1, 1, False),
        ("Conv2d_4a_3x3", 192, 3, 1, False),
        ("maxpool2", "pool"),
    ),
    "small": (
        ("Conv2d_1a_3x3", 32, 3, 1, True),
        ("Conv2d_2a_3x3", 32, 3, 1, True),
        ("Conv2d_2b_3x3", 64, 3, 1, True),
        ("Conv2d_3b_1x1", 80, 1, 1, True),
        ("Conv2d_4a_3x3", 192, 3, 1, True),
        ("maxpool2", "pool"),
    ),
}


class InceptionV3(ConvNet):
    """A stem of five convolutions and eleven Inception modules with factorised filters; batch norm throughout.

    torchvision's graph and names: 27,161,264 parameters with 1,000 classes, 23,834,568 without the auxiliary head.

    Args:
        num_classes: K.
        image_shape: C, H, W; 299×299 in the paper, 75×75 at least, 15×15 with the small stem.
        aux: an auxiliary classifier after Mixed_6e while training (§4).
        dropout: before the last layer; 0.5 in torchvision, 0.2 in the paper's own code.
        stem: ``small`` is for images of about 32×32: all convolutions padded, with stride 1, and one pooling.
        width: multiplies the maps of every layer; 0.25 makes a small Inception.
        transform_input: rescale images normalised by ImageNet's statistics, for torchvision's published weights.
    """

    published_for = (1000, (3, 299, 299))
    aux_heads: Mapping[str, str] = MappingProxyType({"aux": "AuxLogits"})

    AuxLogits: "AuxHead | None"

    def __init__(
        self,
        num_classes: int,
        image_shape: tuple[int, int, int],
        aux: bool = True,
        dropout: float = 0.5,
        stem: Literal["imagenet", "small"] = "imagenet",
        width: float = 1.0,
        transform_input: bool = False,
    ) -> None:
        super().__init__()
        if stem not in STEMS:
            raise ValueError(f"inception_v3: there is no stem {stem!r}{did_you_mean(stem, STEMS)}")
        if not width > 0:
            raise ValueError(f"inception_v3: width multiplies the number of maps and cannot be {width}; try 0.25")
        self.transform = FromImageNetStatistics(image_shape[0], "inception_v3") if transform_input else None
        maps = image_shape[0]
        for row in STEMS[stem]:
            if row[1] == "pool":
                self.add_module(row[0], nn.MaxPool2d(3, 2))
                continue
            name, wide, kernel, stride, same = row
            self.add_module(name, ConvUnit(maps, scaled(wide, width), kernel, stride, same=same))
            maps = scaled(wide, width)
        self.AuxLogits = None
        for name, branches in MIXED.items():
            module = Mixed(maps, branches, width)
            self.add_module(name, module)
            maps = module.maps
            if aux and name == "Mixed_6e":
                self.AuxLogits = AuxHead(maps, num_classes, width)
        self.aux_heads = dict(type(self).aux_heads) if aux else {}
        self.trunk = tuple(name for name, _ in self.named_children() if name not in ("transform", "AuxLogits"))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(maps, num_classes)
        self.stages = {name: name for name in self.trunk if not name.startswith("maxpool")} | {"head": "fc"}
        self._initialise()
        output_shape(self, image_shape, "inception_v3")

    def _initialise(self) -> None:
        # torchvision's: normal, cut off so far out (at 20 deviations and more) that the cut is not made here. The
        # 0.01 is what its code means to set and, noting it on the wrong module, does not.
        deviations = {"AuxLogits.conv1.conv": 0.01, "AuxLogits.fc": 0.001}
        for name, module in self.named_modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.normal_(module.weight, std=deviations.get(name, 0.1))

    def forward(self, images: Tensor) -> Tensor | Outputs:
        x = images if self.transform is None else self.transform(images)
        aux: dict[str, Tensor] = {}
        for name in self.trunk:
            x = getattr(self, name)(x)
            if self.training and name == "Mixed_6e" and self.AuxLogits is not None:
                aux["aux"] = self.AuxLogits(x)
        logits: Tensor = self.fc(self.dropout(self.avgpool(x).flatten(1)))
        return Outputs(logits, aux) if aux else logits


class Mixed(nn.Module):
    """An Inception module from its branches; ``maps`` is its output's width."""

    def __init__(self, maps_in: int, branches: tuple[Branch, ...], width: float) -> None:
        super().__init__()
        self.branches = branches
        self.maps = 0
        for branch in branches:
            maps = maps_in
            for step in branch:
                if isinstance(step, str):  # a branch has one pooling, a module one pooled branch
                    self.pool = nn.AvgPool2d(3, 1, padding=1) if step == "average" else nn.MaxPool2d(3, 2)
                    continue
                parallel = (step,) if isinstance(step, Conv) else step
                for conv in parallel:
                    unit = ConvUnit(maps, scaled(conv.maps, width), conv.kernel, conv.stride, same=conv.stride == 1)
                    self.add_module(conv.name, unit)
                maps = sum(scaled(conv.maps, width) for conv in parallel)
            self.maps += maps

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self._branch(branch, x) for branch in self.branches], 1)

    def _branch(self, branch: Branch, x: Tensor) -> Tensor:
        for step in branch:
            if isinstance(step, str):
                x = self.pool(x)
            elif isinstance(step, Conv):
                x = getattr(self, step.name)(x)
            else:
                x = torch.cat([getattr(self, conv.name)(x) for conv in step], 1)
        return x


class AuxPool(nn.Module):
    """5×5 average pooling with stride 3; on a grid below 17×17, where less than 5×5 would be left, to 5×5 instead."""

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, 5, 3) if min(x.shape[2:]) >= 17 else F.adaptive_avg_pool2d(x, 5)


class AuxHead(nn.Module):
    """Pooling, a 1×1 and a 5×5 convolution, one dense layer (Fig. 8): N×C×H×W to N×K logits."""

    def __init__(self, maps_in: int, num_classes: int, width: float) -> None:
        super().__init__()
        narrow, wide = scaled(128, width), scaled(768, width)
        self.pool = AuxPool()
        self.conv0 = ConvUnit(maps_in, narrow, 1)
        self.conv1 = ConvUnit(narrow, wide, 5, same=False)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(wide, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.avgpool(self.conv1(self.conv0(self.pool(x))))
        logits: Tensor = self.fc(x.flatten(1))
        return logits
