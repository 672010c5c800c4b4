"""GoogLeNet (Szegedy et al. 2015, "Going deeper with convolutions", Table 1), and BN-Inception, its second version
(Ioffe & Szegedy 2015, "Batch normalization", Fig. 5)."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the field's own name

from convkit.architectures.conv_units import ConvUnit, FromImageNetStatistics, scaled
from convkit.convnet import ConvNet, Outputs
from convkit.errors import did_you_mean
from convkit.sizes import output_shape


class Row(NamedTuple):
    """A line of the papers' tables: maps of each branch. In BN-Inception the third branch is two 3×3 convolutions."""

    ones: int
    reduce_3x3: int
    threes: int
    reduce_5x5: int
    fives: int
    pool: Literal["max", "average"]
    projection: int  # 0 passes the pooled maps on
    stride: int = 1


V1 = {
    "inception3a": Row(64, 96, 128, 16, 32, "max", 32),
    "inception3b": Row(128, 128, 192, 32, 96, "max", 64),
    "inception4a": Row(192, 96, 208, 16, 48, "max", 64),
    "inception4b": Row(160, 112, 224, 24, 64, "max", 64),
    "inception4c": Row(128, 128, 256, 24, 64, "max", 64),
    "inception4d": Row(112, 144, 288, 32, 64, "max", 64),
    "inception4e": Row(256, 160, 320, 32, 128, "max", 128),
    "inception5a": Row(256, 160, 320, 32, 128, "max", 128),
    "inception5b": Row(384, 192, 384, 48, 128, "max", 128),
}
# 4c and 4d add up to 608 maps. The paper's size column says 576: a slip, its own numbers of maps give 608, and so do
# the published weights.
BN = {
    "inception3a": Row(64, 64, 64, 64, 96, "average", 32),
    "inception3b": Row(64, 64, 96, 64, 96, "average", 64),
    "inception3c": Row(0, 128, 160, 64, 96, "max", 0, stride=2),
    "inception4a": Row(224, 64, 96, 96, 128, "average", 128),
    "inception4b": Row(192, 96, 128, 96, 128, "average", 128),
    "inception4c": Row(160, 128, 160, 128, 160, "average", 128),
    "inception4d": Row(96, 128, 192, 160, 192, "average", 128),
    "inception4e": Row(0, 128, 192, 192, 256, "max", 0, stride=2),
    "inception5a": Row(352, 192, 320, 160, 224, "average", 128),
    "inception5b": Row(352, 192, 320, 192, 224, "max", 128),
}
VARIANTS = {"v1": V1, "bn_inception": BN}
HEADS = {"inception4a": "aux1", "inception4d": "aux2"}  # after which module
Variant = Literal["v1", "bn_inception"]


class GoogLeNet(ConvNet):
    """Nine Inception modules (ten in BN-Inception), global average pooling, two auxiliary classifiers while training.

    As it is: torchvision's network, name by name, 13,004,888 parameters with 1,000 classes, 6,624,904 without the
    auxiliary heads. The paper's layers and weights: ``batch_norm=False, true_5x5=True, dropout=0.4``; the pooling after
    4e (2×2 for the paper's 3×3) and in the heads (to 4×4 by cells of 4 for 5×5 at stride 3) remain torchvision's.

    Args:
        num_classes: K.
        image_shape: C, H, W; 224×224 in the paper.
        variant: ``v1``, the paper's; ``bn_inception``, whose convolutions have no bias (§3.2 there).
        reduction: ``false``: the naive module (Fig. 2a). The convolutions keep their widths and read all maps; the
            pooled maps are passed on as they are, so modules widen up to 4,944 maps: with 5×5 filters and without
            heads or batch norm 97.5 million parameters for 7.0.
        batch_norm: after every convolution; without, biases and local response normalisation as in the paper (Fig. 3).
        true_5x5: 5×5 filters in the third branch of ``v1``, as in Table 1. By default they are 3×3: a slip of
            torchvision's that its published weights depend on (vision#906).
        aux: auxiliary classifiers after 4a and 4d (§5); by default ``v1`` has them and BN-Inception,
            whose paper tells of none, does not.
        dropout: before the last layer; 0.4 in the paper, 0.2 in torchvision.
        dropout_aux: in the auxiliary heads.
        stem: ``small`` is for images of about 32×32: the first convolution is 3×3 with stride 1, unpooled.
        width: multiplies the maps of every layer; 0.25 makes a small Inception.
        transform_input: rescale images normalised by ImageNet's statistics, for torchvision's published weights.
    """

    aux_heads: Mapping[str, str] = MappingProxyType({head: head for head in HEADS.values()})
    aux1: "AuxHead | None"
    aux2: "AuxHead | None"

    def __init__(
        self,
        num_classes: int,
        image_shape: tuple[int, int, int],
        variant: Variant = "v1",
        reduction: bool = True,
        batch_norm: bool = True,
        true_5x5: bool = False,
        aux: bool | None = None,
        dropout: float = 0.2,
        dropout_aux: float = 0.7,
        stem: Literal["imagenet", "small"] = "imagenet",
        width: float = 1.0,
        transform_input: bool = False,
    ) -> None:
        super().__init__()
        _check(variant, stem, width, true_5x5)
        self.transform = FromImageNetStatistics(image_shape[0], "googlenet") if transform_input else None
        with_aux = variant == "v1" if aux is None else aux
        self._stem(image_shape[0], stem, width, batch_norm)
        maps = scaled(192, width)
        third = (3, 3) if variant == "bn_inception" else (5,) if true_5x5 else (3,)
        for name, row in VARIANTS[variant].items():
            module = Inception(maps, row, width, reduction, batch_norm, third)
            self.add_module(name, module)
            maps = module.maps
            if with_aux and name in HEADS:
                self.add_module(HEADS[name], AuxHead(maps, num_classes, width, dropout_aux, batch_norm))
            if variant == "v1" and name in ("inception3b", "inception4e"):
                number = int(name[9])
                self.add_module(f"maxpool{number}", nn.MaxPool2d(3 if number == 3 else 2, 2, ceil_mode=True))
        self.aux1, self.aux2 = getattr(self, "aux1", None), getattr(self, "aux2", None)
        self.aux_heads = dict(type(self).aux_heads) if with_aux else {}
        self.trunk = tuple(name for name, _ in self.named_children() if name not in ("transform", "aux1", "aux2"))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(maps, num_classes)
        # The paper's second layer is a 1×1 reduction and a 3×3 convolution; torchvision counts them apart.
        names = {"conv1": "conv1", "conv2_reduce": "conv2", "conv2": "conv3"}
        self.stages = {**names, **{name: name for name in VARIANTS[variant]}, "head": "fc"}
        self.apply(_initialise if batch_norm else _initialise_without_batch_norm)
        output_shape(self, image_shape, "googlenet")

    def _stem(self, channels: int, stem: str, width: float, batch_norm: bool) -> None:
        """Two layers (three convolutions), each pooled and, without batch norm, normalised."""
        maps, wide = scaled(64, width), scaled(192, width)
        kernel, stride = (3, 1) if stem == "small" else (7, 2)
        self.conv1 = ConvUnit(channels, maps, kernel, stride, batch_norm=batch_norm)
        if stem != "small":
            self.maxpool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        if not batch_norm:
            self.norm1 = nn.LocalResponseNorm(5)  # size as in Caffe's bvlc_googlenet; the paper gives none
        self.conv2 = ConvUnit(maps, maps, 1, batch_norm=batch_norm)
        self.conv3 = ConvUnit(maps, wide, 3, batch_norm=batch_norm)
        if not batch_norm:
            self.norm2 = nn.LocalResponseNorm(5)
        self.maxpool2 = nn.MaxPool2d(3, 2, ceil_mode=True)

    def forward(self, images: Tensor) -> Tensor | Outputs:
        x = images if self.transform is None else self.transform(images)
        aux: dict[str, Tensor] = {}
        for name in self.trunk:
            x = getattr(self, name)(x)
            head = HEADS.get(name, "")
            if self.training and head in self.aux_heads:
                aux[head] = getattr(self, head)(x)
        logits: Tensor = self.fc(self.dropout(self.avgpool(x).flatten(1)))
        return Outputs(logits, aux) if self.training and aux else logits


class Inception(nn.Module):
    """One module: 1×1, 3×3 and 5×5 (or two 3×3) convolutions and pooling side by side; ``maps`` is its output's width.

    ``reduction=False`` is the naive form: no 1×1 before a convolution, none after the pooling.
    """

    def __init__(
        self, maps_in: int, row: Row, width: float, reduction: bool, batch_norm: bool, third: tuple[int, ...]
    ) -> None:
        super().__init__()

        def convolutions(reduced: int, maps: int, kernels: tuple[int, ...]) -> nn.Sequential:
            units, last = [], maps_in
            if reduction:
                last = scaled(reduced, width)
                units.append(ConvUnit(maps_in, last, 1, batch_norm=batch_norm))
            for index, kernel in enumerate(kernels):
                stride = row.stride if index == len(kernels) - 1 else 1
                units.append(ConvUnit(last, scaled(maps, width), kernel, stride, batch_norm=batch_norm))
                last = scaled(maps, width)
            return nn.Sequential(*units)

        # The names are torchvision's.
        self.branch1 = ConvUnit(maps_in, scaled(row.ones, width), 1, batch_norm=batch_norm) if row.ones else None
        self.branch2 = convolutions(row.reduce_3x3, row.threes, (3,))
        self.branch3 = convolutions(row.reduce_5x5, row.fives, third)
        if row.stride == 2:
            pool: nn.Module = HalvingPool()
        elif row.pool == "max":
            pool = nn.MaxPool2d(3, 1, padding=1, ceil_mode=True)
        else:
            pool = nn.AvgPool2d(3, 1, padding=1)
        self.branch4 = nn.Sequential(pool)
        projected = maps_in
        if row.projection and reduction:
            projected = scaled(row.projection, width)
            self.branch4.append(ConvUnit(maps_in, projected, 1, batch_norm=batch_norm))
        ones = scaled(row.ones, width) if row.ones else 0
        self.maps = ones + scaled(row.threes, width) + scaled(row.fives, width) + projected

    def forward(self, x: Tensor) -> Tensor:
        branches = (self.branch1, self.branch2, self.branch3, self.branch4)
        return torch.cat([branch(x) for branch in branches if branch is not None], 1)


class HalvingPool(nn.Module):
    """3×3 max pooling with stride 2 to ceil(n/2), the size that a padded convolution gives; odd sides are padded."""

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(x, 3, 2, padding=(x.shape[2] % 2, x.shape[3] % 2), ceil_mode=True)


class AuxHead(nn.Module):
    """Pooling to 4×4, a 1×1 convolution, two dense layers (Szegedy et al. 2015, §5): N×C×H×W to N×K logits."""

    def __init__(self, maps_in: int, num_classes: int, width: float, dropout: float, batch_norm: bool) -> None:
        super().__init__()
        maps, units = scaled(128, width), scaled(1024, width)
        self.pool = nn.AdaptiveAvgPool2d(4)
        self.conv = ConvUnit(maps_in, maps, 1, batch_norm=batch_norm)
        self.fc1 = nn.Linear(16 * maps, units)
        self.relu = nn.ReLU(inplace=True)
        self.dropout = nn.Dropout(dropout)
        self.fc2 = nn.Linear(units, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(self.pool(x)).flatten(1)
        logits: Tensor = self.fc2(self.dropout(self.relu(self.fc1(x))))
        return logits


def _check(variant: str, stem: str, width: float, true_5x5: bool) -> None:
    if variant not in VARIANTS:
        raise ValueError(f"googlenet: there is no variant {variant!r}{did_you_mean(variant, VARIANTS)}")
    if stem not in ("imagenet", "small"):
        raise ValueError(f"googlenet: there is no stem {stem!r}{did_you_mean(stem, ('imagenet', 'small'))}")
    if not width > 0:
        raise ValueError(f"googlenet: width multiplies the number of maps and cannot be {width}; try 0.25")
    if true_5x5 and variant == "bn_inception":
        raise ValueError("googlenet: true_5x5 is of variant v1; bn_inception has two 3×3 convolutions in its place")


def _initialise(module: nn.Module) -> None:
    # torchvision's: normal with deviation 0.01, cut off so far out (at 200 deviations) that the cut is not made here.
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.normal_(module.weight, std=0.01)


def _initialise_without_batch_norm(module: nn.Module) -> None:
    # As the paper gives none, Caffe's bvlc_googlenet: by fan-in and fan-out, the biases of convolutions 0.2.
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        nn.init.constant_(cast(Tensor, module.bias), 0.2 if isinstance(module, nn.Conv2d) else 0.0)
