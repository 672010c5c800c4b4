"""CAM, class images and occlusion, by what their papers' equations say of them."""

import pytest
import torch
from nets import Call, two_layers
from torch import nn

from convkit.architectures.alexnet import AlexNet
from convkit.architectures.densenet import DenseNet
from convkit.convnet import Wrapped
from convkit.errors import UserError
from convkit.explainers.cam import cam
from convkit.explainers.class_image import class_image
from convkit.explainers.grad_cam import grad_cam
from convkit.explainers.occlusion import occlusion

IMAGES, TARGETS = torch.randn(2, 3, 12, 12, generator=torch.Generator().manual_seed(0)), torch.tensor([1, 4])


def linear() -> Wrapped:
    """S = w·I + b."""
    return Wrapped(nn.Sequential(nn.Flatten(), nn.Linear(3 * 12 * 12, 5)), {"head": "1"})


def test_cam_averages_to_the_logit() -> None:
    net = two_layers(nn.ReLU(), nn.ReLU())
    maps = cam(net, IMAGES, TARGETS)
    assert maps.shape == (2, 1, 3, 3)
    logits = net(IMAGES)[torch.arange(2), TARGETS] - net.inner[7].bias[TARGETS]
    torch.testing.assert_close(maps.mean((1, 2, 3)), logits)


def test_grad_cam_is_cam_behind_global_average_pooling() -> None:
    """Selvaraju et al. 2017, §3.1, up to the size of the map and its negative part."""
    net = two_layers(nn.ReLU(), nn.ReLU())
    torch.testing.assert_close(grad_cam(net, IMAGES, TARGETS) * 9, cam(net, IMAGES, TARGETS).relu())


def test_cam_finds_a_functional_last_relu() -> None:
    """DenseNet's last maps are those of a norm and a ReLU behind its last stage."""
    net = DenseNet(5, (3, 64, 64)).eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = net(images)[torch.arange(2), TARGETS] - net.classifier.bias[TARGETS]
    torch.testing.assert_close(cam(net, images, TARGETS).mean((1, 2, 3)), expected)


def test_cam_refuses_dense_layers() -> None:
    with pytest.raises(UserError, match=r"^cam needs a head on globally averaged maps, and AlexNet's gets something"):
        cam(AlexNet(5, (3, 64, 64)), torch.randn(2, 3, 64, 64), TARGETS)
    with pytest.raises(UserError, match=r"^cam needs a linear head, and Wrapped has Call: grad_cam$"):
        cam(Wrapped(nn.Sequential(Call(lambda x: x)), {"head": "0"}), IMAGES, TARGETS)


def test_grad_cam_needs_maps() -> None:
    net = two_layers(nn.ReLU(), nn.ReLU())
    with pytest.raises(UserError, match=r"^grad_cam needs N×C×H×W maps, and stage head puts none out$"):
        grad_cam(net, IMAGES, TARGETS, stage="head")
    with pytest.raises(UserError, match=r"^grad_cam needs N×C×H×W maps, and no stage of Wrapped puts some out$"):
        grad_cam(linear(), IMAGES, TARGETS)


def test_grad_cam_takes_the_last_maps_by_default() -> None:
    net = two_layers(nn.ReLU(), nn.ReLU())
    expected = grad_cam(net, IMAGES, TARGETS, stage="conv2")
    for _ in range(2):  # when it is found out, and when it is known
        assert torch.equal(grad_cam(net, IMAGES, TARGETS), expected)


def test_grad_cam_finds_the_last_maps_of_a_network_that_changed() -> None:
    net = two_layers(nn.ReLU(), nn.ReLU())
    before = grad_cam(net, IMAGES, TARGETS)
    net.stages = {"conv1": "inner.1", "conv2": "inner.6"}  # where there are no maps any more
    lower = grad_cam(net, IMAGES, TARGETS)
    assert lower.shape != before.shape
    assert torch.equal(lower, grad_cam(net, IMAGES, TARGETS, stage="conv1"))
    net.stages = {"conv1": "inner.1", "conv2": "inner.4"}  # and there they are again
    assert torch.equal(grad_cam(net, IMAGES, TARGETS), before)


@pytest.mark.parametrize("options", [{}, {"fourier": True}])
def test_class_image_of_a_linear_score(options) -> None:
    net = linear()
    found = class_image(net, IMAGES, TARGETS, weight_decay=0.05, rate=10.0, steps=400, **options)
    expected = net.inner[1].weight[TARGETS].view(2, 3, 12, 12) / (2 * 0.05)
    torch.testing.assert_close(found, expected.detach(), rtol=1e-4, atol=1e-5)


def test_class_image_raises_the_score_and_begins_with_the_image() -> None:
    net = two_layers(nn.ReLU(), nn.ReLU())
    score = lambda images: net(images)[torch.arange(2), TARGETS]  # noqa: E731
    assert torch.equal(class_image(net, IMAGES, TARGETS, steps=0), IMAGES)
    for options in ({}, {"jitter": 2}, {"blur": 0.5}, {"fourier": True}, {"of": "conv1"}):
        found = class_image(net, 0 * IMAGES, TARGETS, steps=10, **options)
        if "of" not in options:
            assert (score(found) > score(0 * IMAGES)).all()
    assert class_image(net, IMAGES[:, :, :11], TARGETS, fourier=True, steps=1).shape == (2, 3, 11, 12)


def test_blur_takes_fine_detail_away() -> None:
    """A checkerboard is the highest frequency: σ of one pixel leaves exp(-2π²·½) of it."""
    board = ((torch.arange(12)[:, None] + torch.arange(12)) % 2 * 2.0 - 1).expand(1, 3, 12, 12)
    net = linear()
    torch.nn.init.zeros_(net.inner[1].weight)
    found = class_image(net, board, TARGETS[:1], weight_decay=0, steps=1, blur=1.0)
    torch.testing.assert_close(found, board * torch.exp(torch.tensor(-(torch.pi**2))), rtol=1e-3, atol=1e-6)


def test_jitter_is_the_seeds() -> None:
    net = two_layers(nn.ReLU(), nn.ReLU())
    first, again, other = (class_image(net, IMAGES, TARGETS, jitter=3, steps=3, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_occlusion_of_a_linear_score() -> None:
    """What is lost is the covered part of w·I, here window by window."""
    net = linear()
    found = occlusion(net, IMAGES, TARGETS, size=4, stride=4, batch_size=5)
    share = (net.inner[1].weight[TARGETS].view(2, 3, 12, 12) * IMAGES).sum(1, keepdim=True)
    sums = nn.functional.avg_pool2d(share, 4) * 16
    torch.testing.assert_close(
        found, sums.repeat_interleave(4, 2).repeat_interleave(4, 3).detach(), rtol=1e-4, atol=1e-5
    )


def test_the_last_window_ends_with_the_image() -> None:
    found = occlusion(linear(), IMAGES, TARGETS, size=5, stride=5)
    assert found.isfinite().all()


@pytest.mark.parametrize(
    ("explainer", "options", "said"),
    [
        (occlusion, {"size": 13}, "occlusion needs a size of 1 to 12 pixels"),
        (occlusion, {"size": 4, "stride": 5}, "occlusion needs a size of 1 to 12 pixels, a stride of 1 to size"),
        (class_image, {"rate": 0.0}, "class_image: rate is above 0, not 0.0"),
        (class_image, {"blur": -1.0}, "class_image: blur is 0 or more, not -1.0"),
    ],
)
def test_bad_options(explainer, options, said: str) -> None:
    with pytest.raises(UserError, match=f"^{said}"):
        explainer(linear(), IMAGES, TARGETS, **options)
