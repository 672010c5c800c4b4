"""DenseNet (Huang, Liu, van der Maaten, Weinberger 2017, "Densely connected convolutional networks")."""

import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from convkit.convnet import ConvNet
from convkit.sizes import output_shape

# Table 1: growth rate, and the layers of each dense block; 161 is of the published code, and begins with 96 maps.
DEPTHS: Mapping[int, tuple[int, tuple[int, int, int, int]]] = {
    121: (32, (6, 12, 24, 16)),
    161: (48, (6, 12, 36, 24)),
    169: (32, (6, 12, 32, 32)),
    201: (32, (6, 12, 48, 32)),
}
_OLD_KEY = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12])\.")


class Convolution(nn.Conv2d):
    """Without bias, as batch norm has one. Initialised as in He et al. 2015 (§4.2), by fan-in like torchvision's."""

    def __init__(self, maps_in: int, maps: int, size: int, stride: int = 1) -> None:
        super().__init__(maps_in, maps, size, stride, padding=size // 2, bias=False)

    def reset_parameters(self) -> None:
        nn.init.kaiming_normal_(self.weight)


class DenseLayer(nn.Sequential):
    """``growth_rate`` new maps behind those that came in: batch norm, ReLU, 3×3 convolution (§3, "Composite function").

    With a bottleneck, the same with a 1×1 convolution to 4·``growth_rate`` maps comes first. Dropout follows each
    convolution (§4.2).
    """

    def __init__(self, maps_in: int, growth_rate: int, bottleneck: bool, dropout: float) -> None:
        super().__init__()
        sizes = [(4 * growth_rate, 1), (growth_rate, 3)] if bottleneck else [(growth_rate, 3)]
        for index, (maps, size) in enumerate(sizes, start=1):
            self.add_module(f"norm{index}", nn.BatchNorm2d(maps_in))
            self.add_module(f"relu{index}", nn.ReLU(inplace=True))
            self.add_module(f"conv{index}", Convolution(maps_in, maps, size))
            if dropout:
                self.add_module(f"drop{index}", nn.Dropout(dropout))
            maps_in = maps

    def forward(self, x: Tensor) -> Tensor:
        new = x
        for module in self:
            new = module(new)
        return torch.cat([x, new], dim=1)


class DenselyConnected(ConvNet):
    """First layers, dense blocks with a transition between two of them, global average pooling and a linear layer.

    Stages: ``conv1`` ends the first layers, before any pooling; ``dense_block1``, ``transition1`` and on are their
    outputs, as concatenated or pooled: the nonlinearity comes at the beginning of the next layer; ``head`` the linear
    layer.

    Args:
        first: the layers before the first block, by name.
        conv1: the path of its stage.
        maps: that ``first`` puts out.
        blocks: layers of each dense block.
        growth_rate: k, new maps of a layer.
        num_classes: K.
        bottleneck: whether layers have one.
        compression: θ, the share of the maps that a transition keeps.
        dropout: share of what each convolution puts out, the first one excepted.
    """

    def __init__(
        self,
        first: Mapping[str, nn.Module],
        conv1: str,
        maps: int,
        blocks: Sequence[int],
        growth_rate: int,
        num_classes: int,
        bottleneck: bool,
        compression: float,
        dropout: float,
    ) -> None:
        super().__init__()
        features = nn.Sequential(OrderedDict(first))
        stages = {"conv1": f"features.{conv1}"}
        for index, count in enumerate(blocks, start=1):
            block = nn.Sequential()
            for layer in range(1, count + 1):
                block.add_module(f"denselayer{layer}", DenseLayer(maps, growth_rate, bottleneck, dropout))
                maps += growth_rate
            features.add_module(f"denseblock{index}", block)
            stages[f"dense_block{index}"] = f"features.denseblock{index}"
            if index < len(blocks):
                kept = int(maps * compression)
                features.add_module(f"transition{index}", transition(maps, kept, dropout))
                stages[f"transition{index}"] = f"features.transition{index}"
                maps = kept
        features.add_module(f"norm{len(blocks) + 1}", nn.BatchNorm2d(maps))
        features.add_module(f"relu{len(blocks) + 1}", nn.ReLU(inplace=True))
        self.features = features
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(maps, num_classes)
        nn.init.zeros_(self.classifier.bias)
        self.stages = {**stages, "head": "classifier"}

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.avgpool(self.features(images)).flatten(1))
        return logits


class DenseNet(DenselyConnected):
    """DenseNet-BC for large images (Table 1); torchvision's names.

    Args:
        num_classes: K.
        image_shape: C, H, W; 224×224 in the paper.
        depth: 121, 161, 169 or 201.
        dropout: share of what each convolution but the first puts out; 0 in the paper on ImageNet.
    """

    def __init__(
        self,
        num_classes: int,
        image_shape: tuple[int, int, int],
        depth: Literal[121, 161, 169, 201] = 121,
        dropout: float = 0.0,
    ) -> None:
        if depth not in DEPTHS:
            nearest = min(DEPTHS, key=lambda known: abs(known - depth))
            raise ValueError(f"densenet: depth is one of {', '.join(map(str, DEPTHS))}, not {depth}; try {nearest}")
        check_dropout("densenet", dropout)
        growth_rate, blocks = DEPTHS[depth]
        maps = 2 * growth_rate
        first = {
            "conv0": Convolution(image_shape[0], maps, 7, stride=2),
            "norm0": nn.BatchNorm2d(maps),
            "relu0": nn.ReLU(inplace=True),
            "pool0": nn.MaxPool2d(3, stride=2, padding=1),
        }
        super().__init__(first, "relu0", maps, blocks, growth_rate, num_classes, True, 0.5, dropout)
        output_shape(self, image_shape, "densenet")

    def rename_key(self, key: str) -> str:
        # Older published weights write norm.1 and conv.2 for norm1 and conv2, as module names could have dots then.
        return _OLD_KEY.sub(r"\1\2.", key)


def transition(maps_in: int, maps: int, dropout: float) -> nn.Sequential:
    """Batch norm, ReLU, 1×1 convolution, 2×2 average pooling (§3, "Pooling layers")."""
    layers: dict[str, nn.Module] = {
        "norm": nn.BatchNorm2d(maps_in),
        "relu": nn.ReLU(inplace=True),
        "conv": Convolution(maps_in, maps, 1),
        **({"drop": nn.Dropout(dropout)} if dropout else {}),
        "pool": nn.AvgPool2d(2, stride=2),
    }
    return nn.Sequential(OrderedDict(layers))


def check_dropout(owner: str, dropout: float) -> None:
    """Whether ``dropout`` is a share, below 1.

    Raises:
        ValueError: it is not.
    """
    if not 0 <= dropout < 1:
        raise ValueError(f"{owner}: dropout is at least 0 and below 1 (0.2 in the paper), not {dropout:g}")
