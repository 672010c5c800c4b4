"""Too small images, against what torchvision's networks really do with them."""

import pytest
import torch
from torch import Tensor, nn
from torchvision import models

from convkit.sizes import Stop, output_shape, smallest_side, walk

# (network, its options, smallest side)
NETWORKS = [("vgg16", {}, 32), ("alexnet", {}, 63), ("googlenet", {"aux_logits": False}, 15)]


def network(name: str, options: dict[str, bool], width: int = 1000) -> nn.Module:
    """torchvision's network without its (slow) initialisation."""
    with torch.device("meta"):
        net = models.get_model(name, num_classes=width, init_weights=False, **options) if name != "alexnet" else None
        net = net or models.get_model(name, num_classes=width)
    return net.eval()


def real(net: nn.Module) -> nn.Module:
    """Its convolutional part with memory behind it; what comes after depends on no size."""
    for name in ("classifier", "fc"):
        if hasattr(net, name):
            setattr(net, name, nn.Identity())
    return net.to_empty(device="cpu")


@pytest.mark.parametrize(("name", "options", "side"), NETWORKS)
def test_the_smallest_works_and_one_less_fails(name: str, options: dict[str, bool], side: int) -> None:
    net = network(name, options)
    assert smallest_side(net, 3) == side
    assert output_shape(net, (3, side, side), name) == (1000,)
    forward = real(net)
    with torch.inference_mode():
        assert forward(torch.zeros(1, 3, side, side)).ndim == 2
        with pytest.raises(RuntimeError):
            forward(torch.zeros(1, 3, side - 1, side - 1))


@pytest.mark.parametrize(
    ("name", "options", "shape", "said"),
    [
        (
            "vgg16",
            {},
            (3, 16, 16),
            "vgg: an image of 16×16 is too small: features.30 gets 512×1×1; 32×32 is the smallest that works",
        ),
        (
            "alexnet",
            {},
            (3, 224, 32),
            "vgg: an image of 224×32 is too small: features.12 gets 256×13×1; 63×63 is the smallest that works",
        ),
        ("vgg16", {}, (1, 64, 64), "vgg: features.0 cannot take 1×64×64: "),
    ],
)
def test_message(name: str, options: dict[str, bool], shape: tuple[int, int, int], said: str) -> None:
    net = network(name, options)
    with pytest.raises(ValueError, match="vgg") as raised:
        output_shape(net, shape, "vgg")
    assert str(raised.value).startswith(said)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("side", [16, 64])
def test_leaves_no_trace(side: int) -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.MaxPool2d(2), nn.MaxPool2d(16))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    assert isinstance(walk(net, (3, side, side)), Stop) == (side == 16)
    assert net.training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert not [module for module in net.modules() if len(module._forward_hooks) + len(module._forward_pre_hooks)]


class Odd(nn.Module):
    """Fails at every size, in another way than by it."""

    def __init__(self, error: type[Exception]) -> None:
        super().__init__()
        self.inner, self.error = nn.Identity(), error

    def forward(self, images: Tensor) -> Tensor:
        self.inner(images)
        raise self.error("out of order\nand more")


def test_what_size_does_not_explain_is_told_as_torch_told_it() -> None:
    with pytest.raises(ValueError, match=r"^odd: Odd cannot take 3×8×8: out of order$"):
        output_shape(Odd(RuntimeError), (3, 8, 8), "odd")
    assert smallest_side(Odd(RuntimeError), 3) is None


def test_hooks_come_off_after_an_error_that_is_not_torchs() -> None:
    net = Odd(KeyError)
    with pytest.raises(KeyError):
        walk(net, (3, 8, 8))
    assert not [module for module in net.modules() if len(module._forward_hooks) + len(module._forward_pre_hooks)]


def test_a_layer_that_leaves_nothing_stops_the_image() -> None:
    class Crop(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images[:, :, 8:]

    net = nn.Sequential(Crop(), nn.AdaptiveAvgPool2d(1))
    assert walk(net, (1, 8, 8)) == Stop("0", (1, 8, 8), "nothing is left of the image")
    assert smallest_side(net, 1) == 9
