"""captum's pictures to 1e-6 of their scale, of whole networks; and where its rules miss a ReLU, that ours do not."""

import copy
import warnings

import captum.attr
import pytest
import torch
from nets import FORMS
from torch import Tensor, nn

from convkit.architectures.alexnet import AlexNet
from convkit.architectures.resnet import ResNet
from convkit.architectures.vgg import VGG
from convkit.convnet import ConvNet
from convkit.explainers.deconvolution import deconvnet
from convkit.explainers.grad_cam import grad_cam
from convkit.explainers.guided_backprop import guided_backprop
from convkit.explainers.guided_grad_cam import guided_grad_cam
from convkit.explainers.occlusion import occlusion
from convkit.explainers.saliency import saliency

pytestmark = pytest.mark.filterwarnings("ignore:(Setting backward hooks|Input Tensor 0 did not):UserWarning")
# Architecture, image side, the stage of Grad-CAM.
NETS = {
    "alexnet": (lambda: AlexNet(5, (3, 96, 96), form="one_weird_trick"), 96, "conv5"),
    "vgg11": (lambda: VGG(5, (3, 64, 64), variant="A", dense_width=64, pooled_size=2), 64, "conv5_2"),
    "resnet18": (lambda: ResNet(5, (3, 64, 64), depth=18), 64, "conv4"),
}
TARGETS = torch.tensor([0, 3, 1])


def built(name: str) -> tuple[ConvNet, ConvNet, Tensor]:
    """Ours, the same with no ReLU in place (captum's hooks cannot take those), images."""
    make, side, _ = NETS[name]
    torch.manual_seed(0)
    net = make().eval()
    for module in net.modules():  # as after training, so that there is something to see
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight)
    theirs = copy.deepcopy(net)
    for module in theirs.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    return net, theirs, torch.randn(3, 3, side, side)


def assert_close(ours: Tensor, theirs: Tensor) -> None:
    scale = theirs.abs().max().item()
    assert scale > 0
    torch.testing.assert_close(ours, theirs.detach(), rtol=0, atol=1e-6 * scale)


@pytest.mark.parametrize("name", NETS)
def test_gradients(name: str) -> None:
    net, theirs, images = built(name)
    expected = captum.attr.Saliency(theirs).attribute(images.clone(), TARGETS).amax(1, keepdim=True)
    assert_close(saliency(net, images, TARGETS), expected)
    for ours, method in ((deconvnet, captum.attr.Deconvolution), (guided_backprop, captum.attr.GuidedBackprop)):
        assert_close(ours(net, images, TARGETS), method(theirs).attribute(images.clone(), TARGETS))


@pytest.mark.parametrize("name", NETS)
def test_class_activation_maps(name: str) -> None:
    net, theirs, images = built(name)
    stage = NETS[name][2]
    layer = theirs.stage(stage)
    expected = captum.attr.LayerGradCam(theirs, layer).attribute(images, TARGETS, relu_attributions=True)
    assert_close(grad_cam(net, images, TARGETS, stage=stage), expected)
    guided = captum.attr.GuidedGradCam(theirs, layer)
    expected = guided.attribute(images.clone(), TARGETS, interpolate_mode="bilinear")
    assert_close(guided_grad_cam(net, images, TARGETS, stage=stage), expected)


def test_occlusion() -> None:
    net, theirs, images = built("resnet18")
    expected = captum.attr.Occlusion(theirs).attribute(
        images, (3, 16, 16), strides=(3, 8, 8), target=TARGETS, baselines=0.5
    )
    found = occlusion(net, images, TARGETS, size=16, stride=8, value=0.5, batch_size=20)
    assert_close(found, expected[:, :1])


@pytest.mark.parametrize("explainer", [deconvnet, guided_backprop])
def test_a_functional_twin_is_explained_alike(explainer) -> None:
    net, theirs, images = built("resnet18")
    expected = explainer(net, images, TARGETS)
    forms = [FORMS["F.relu"], FORMS["Tensor.relu"], FORMS["torch.relu_"], FORMS["nn.ReLU in place"]]
    twin, place = copy.deepcopy(theirs), 0
    for path, module in list(twin.named_modules()):
        if isinstance(module, nn.ReLU):
            twin.set_submodule(path, forms[place % 3]())
            place += 1
    assert place == 17
    assert_close(explainer(twin, images, TARGETS), expected)
    method = {deconvnet: captum.attr.Deconvolution, guided_backprop: captum.attr.GuidedBackprop}[explainer]
    with warnings.catch_warnings(action="ignore"):
        wrong = method(twin).attribute(images.clone(), TARGETS)
    assert not torch.allclose(wrong, expected, rtol=0, atol=1e-2 * expected.abs().max().item())
    plain = captum.attr.InputXGradient(theirs).attribute(images.clone(), TARGETS) / images
    torch.testing.assert_close(wrong, plain, rtol=1e-4, atol=1e-6)  # the plain gradient, silently
