"""AlexNet (Krizhevsky, Sutskever, Hinton 2012, "ImageNet classification with deep convolutional neural networks";
Krizhevsky 2014, "One weird trick for parallelizing convolutional neural networks", §5), with any layers left out."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the field's own name

from convkit.convnet import ConvNet
from convkit.errors import did_you_mean
from convkit.initial import Uninitialised
from convkit.sizes import output_shape

Form = Literal["one_weird_trick", "original"]
Layer = Literal["conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7"]


class _Row(NamedTuple):
    maps: tuple[int, int, int, int, int]
    local_response_norm: bool
    groups: int
    covers: bool  # conv1's windows cover the image; else it is padded by 2
    drops_inputs: bool  # dropout in front of fc6 and fc7, or behind them


_FORMS = {
    "one_weird_trick": _Row((64, 192, 384, 256, 256), False, 1, False, True),
    "original": _Row((96, 256, 384, 384, 256), True, 2, True, False),
}
# Where torchvision has the layers; each has its ReLU right behind it.
_PLACES = {
    "conv1": ("features", 0),
    "conv2": ("features", 3),
    "conv3": ("features", 6),
    "conv4": ("features", 8),
    "conv5": ("features", 10),
    "fc6": ("classifier", 1),
    "fc7": ("classifier", 4),
}
_KERNELS = {"conv1": 11, "conv2": 5, "conv3": 3, "conv4": 3, "conv5": 3}
_POOLS = {"conv1": 2, "conv2": 5, "conv5": 12}  # the pooling behind a convolution
_NORMS = {"conv1": "norm1", "conv2": "norm2"}
_GROUPED = ("conv2", "conv4", "conv5")  # see the maps of their own GPU alone (2012, Fig. 2)
_BIAS_OF_ONE = ("conv2", "conv4", "conv5", "fc6", "fc7")
_STRIDE = 4  # of conv1


class AlexNet(ConvNet):
    """Five convolutions, three poolings, three dense layers; 61,100,840 parameters in torchvision's form.

    Args:
        num_classes: K.
        image_shape: C, H, W; 224×224 in the papers; 63×63 at least, 64×64 in the original, less without conv1.
        form: ``one_weird_trick`` (2014) is torchvision's, and takes its weights; ``original`` (2012) has more maps,
            normalisation, two groups, and 60,965,224 parameters. Its conv1 is padded until its windows cover the
            image: 224 and 227 pixels both give the paper's 55×55×96, which are 290,400 neurons (Fig. 2 prints
            253,440, which is no multiple of 55×55).
        local_response_norm: behind conv1 and conv2 (2012, §3.3); the form's own where not given.
        groups: of conv2, conv4 and conv5, 2 for the paper's two GPUs; the form's own where not given. A layer that
            comes to see the image itself has none.
        dropout: probability, on fc6 and fc7: on their inputs as in torchvision, on their outputs in the original.
        remove: layers to leave out (Zeiler & Fergus 2014, Table 3). ReLU, normalisation and dropout go with their
            layer; a pooling stays, so that the layers behind it see an image as large as they would have seen.
        dense_width: neurons of fc6 and fc7, 4096 in the papers.

    Raises:
        ValueError: an unknown form or layer, groups that do not divide the maps, an image that is too small.
    """

    def __init__(
        self,
        num_classes: int,
        image_shape: tuple[int, int, int],
        form: Form = "one_weird_trick",
        local_response_norm: bool | None = None,
        groups: int | None = None,
        dropout: float = 0.5,
        remove: Sequence[Layer] = (),
        dense_width: int = 4096,
    ) -> None:
        super().__init__()
        row = _row(form, local_response_norm, groups)
        removed: Sequence[str] = [remove] if isinstance(remove, str) else remove
        for layer in removed:
            if layer not in _PLACES:
                raise ValueError(f"alexnet: remove: there is no layer {layer!r}{did_you_mean(layer, _PLACES)}")
        kept = [layer for layer in _PLACES if layer not in removed]
        with Uninitialised():
            self.features, maps = _features(row, image_shape, kept)
            self.avgpool = nn.AdaptiveAvgPool2d(6)
            widths = (36 * maps, dense_width, num_classes)
            self.classifier = _classifier(row, widths, dropout, kept)
        places = {layer: _PLACES[layer] for layer in kept}
        self.stages = {layer: f"{part}.{i + 1}" for layer, (part, i) in places.items()} | {"head": "classifier.6"}
        output_shape(self, image_shape, "alexnet")
        _initialise(self, form, {f"{part}.{i}" for layer, (part, i) in places.items() if layer in _BIAS_OF_ONE})

    def forward(self, images: Tensor) -> Tensor:
        x = self.avgpool(self.features(images))
        logits: Tensor = self.classifier(x.flatten(1))
        return logits


def _row(form: str, local_response_norm: bool | None, groups: int | None) -> _Row:
    """The form's row of the table, with what the user chose in place of it."""
    if form not in _FORMS:
        raise ValueError(f"alexnet: unknown form {form!r}{did_you_mean(form, _FORMS)}")
    row = _FORMS[form]
    if local_response_norm is not None:
        row = row._replace(local_response_norm=local_response_norm)
    return row if groups is None else row._replace(groups=groups)


def _features(row: _Row, image_shape: tuple[int, int, int], kept: Sequence[str]) -> tuple[nn.Sequential, int]:
    """The convolutional part, under torchvision's numbers with gaps where layers are missing; and its last maps."""
    part, maps, sees_image = nn.Sequential(), image_shape[0], True
    for (layer, kernel), wanted in zip(_KERNELS.items(), row.maps, strict=True):
        index = _PLACES[layer][1]
        if layer in kept:
            groups = row.groups if layer in _GROUPED and not sees_image else 1
            if groups < 1 or maps % groups or wanted % groups:
                raise ValueError(
                    f"alexnet: groups {groups} does not divide the {maps} maps into and {wanted} out of {layer}; try 2"
                )
            if layer != "conv1":
                convolution = nn.Conv2d(maps, wanted, kernel, padding=kernel // 2, groups=groups)
            elif row.covers:
                convolution = Covering(maps, wanted, kernel, _STRIDE)
                convolution.padding = convolution.padding_for(image_shape)
            else:
                convolution = nn.Conv2d(maps, wanted, kernel, _STRIDE, padding=2)
            part.add_module(str(index), convolution)
            part.add_module(str(index + 1), nn.ReLU(inplace=True))
            maps, sees_image = wanted, False
            if row.local_response_norm and layer in _NORMS:
                # k=2, n=5, α=1e-4, β=0.75. The paper multiplies α by the sum over n maps, torch by their mean.
                part.add_module(_NORMS[layer], nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0))
        if layer in _POOLS:
            part.add_module(str(_POOLS[layer]), nn.MaxPool2d(3, 2))
    return part, maps


class Covering(nn.Conv2d):
    """A convolution padded until its windows cover the image, ⌈(size − kernel) / stride⌉ + 1 of them along a side.

    ``padding`` is that of the image that the network was made for; ``forward`` goes by the size that it gets.
    """

    def padding_for(self, image_shape: Sequence[int]) -> tuple[int, int]:
        rows, columns = (
            ((kernel - size) % stride + 1) // 2
            for size, kernel, stride in zip(image_shape[-2:], self.kernel_size, self.stride, strict=True)
        )
        return rows, columns

    def forward(self, images: Tensor) -> Tensor:
        return F.conv2d(images, self.weight, self.bias, self.stride, self.padding_for(images.shape))


def _classifier(row: _Row, widths: tuple[int, int, int], dropout: float, kept: Sequence[str]) -> nn.Sequential:
    part = nn.Sequential()
    inputs, width, num_classes = widths
    for layer, drop in (("fc6", "dropout6"), ("fc7", "dropout7")):
        if layer not in kept:
            continue
        index = _PLACES[layer][1]
        if row.drops_inputs:
            part.add_module(drop, nn.Dropout(dropout))
        part.add_module(str(index), nn.Linear(inputs, width))
        part.add_module(str(index + 1), nn.ReLU(inplace=True))
        if not row.drops_inputs:
            part.add_module(drop, nn.Dropout(dropout))
        inputs = width
    part.add_module("6", nn.Linear(inputs, num_classes))
    return part


def _initialise(net: AlexNet, form: Form, bias_of_one: set[str]) -> None:
    """The original as in its §5, N(0, 0.01²) and biases 1 or 0; torchvision leaves its form to torch's defaults."""
    for name, module in net.named_modules():
        if not isinstance(module, nn.Conv2d | nn.Linear):
            continue
        if form == "one_weird_trick":
            module.reset_parameters()
            continue
        nn.init.normal_(module.weight, std=0.01)
        assert module.bias is not None
        nn.init.constant_(module.bias, float(name in bias_of_one))
