"""LeNet-5 (LeCun, Bottou, Bengio, Haffner 1998, "Gradient-based learning applied to document recognition", §II.B)."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Literal

from torch import Tensor, nn

from convkit.convnet import ConvNet
from convkit.errors import did_you_mean
from convkit.sizes import output_shape

_ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh}
_POOLINGS = {"max": nn.MaxPool2d, "average": nn.AvgPool2d}


class LeNet(ConvNet):
    """Two 5×5 convolutions with pooling, then three dense layers; 61,706 parameters on 1×32×32 with 10 classes.

    As taught today: every map of conv3 sees every map of the first pooling (the paper's Table I connects some), the
    pooling has no weights, and the last layer is linear (the paper's is radial).

    Args:
        num_classes: K.
        image_shape: C, H, W; 32×32 in the paper, 16×16 at least.
        activation: ``relu``, or ``tanh`` as in the paper (without its scaling).
        pooling: ``max``, or ``average`` as in the paper.
    """

    stages: Mapping[str, str] = {
        "conv1": "act1",
        "conv3": "act3",
        "fc5": "act5",
        "fc6": "act6",
        "head": "fc7",
    }

    def __init__(
        self,
        num_classes: int,
        image_shape: tuple[int, int, int],
        activation: Literal["relu", "tanh"] = "relu",
        pooling: Literal["max", "average"] = "max",
    ) -> None:
        super().__init__()
        for option, value, known in (("activation", activation, _ACTIVATIONS), ("pooling", pooling, _POOLINGS)):
            if value not in known:
                raise ValueError(f"lenet: there is no {option} {value!r}{did_you_mean(value, known)}")
        act, pool = _ACTIVATIONS[activation], _POOLINGS[pooling]
        self.conv1 = nn.Conv2d(image_shape[0], 6, 5)
        self.act1 = act()
        self.pool2 = pool(2)
        self.conv3 = nn.Conv2d(6, 16, 5)
        self.act3 = act()
        self.pool4 = pool(2)
        self.flatten = nn.Flatten()
        (features,) = output_shape(nn.Sequential(OrderedDict(self.named_children())), image_shape, "lenet")
        self.fc5 = nn.Linear(features, 120)  # C5 of the paper: a convolution whose output is 1×1
        self.act5 = act()
        self.fc6 = nn.Linear(120, 84)
        self.act6 = act()
        self.fc7 = nn.Linear(84, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        x = self.pool2(self.act1(self.conv1(images)))
        x = self.pool4(self.act3(self.conv3(x)))
        x = self.act5(self.fc5(self.flatten(x)))
        logits: Tensor = self.fc7(self.act6(self.fc6(x)))
        return logits
