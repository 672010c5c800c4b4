"""Explainers beside captum and the plain forward pass: ResNet-18, 224 pixels, 16 images.

    OMP_NUM_THREADS=1 python benchmarks/explainers.py

Each round times everything once, so that what slows the machine slows all; printed are the medians of the rounds'
ratios to the forward pass (its time over theirs: larger is faster), and of captum's time over ours. captum's network is
the same without ReLUs in place, which its hooks cannot take.
"""

import argparse
import copy
import statistics
import time
import warnings
from collections.abc import Callable

import captum.attr
import torch
from torch import nn

from convkit.architectures.resnet import ResNet
from convkit.explainers.deconvolution import deconvnet
from convkit.explainers.grad_cam import grad_cam
from convkit.explainers.guided_backprop import guided_backprop
from convkit.explainers.saliency import saliency


def ways(images: torch.Tensor, channels_last: bool) -> dict[str, Callable[[], object]]:
    """Everything that is timed, by name."""
    net = ResNet(1000, (3, 224, 224), depth=18).eval()
    theirs = copy.deepcopy(net)
    for module in theirs.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    if channels_last:
        images = images.contiguous(memory_format=torch.channels_last)
        for each in (net, theirs):
            each.to(memory_format=torch.channels_last)
    targets = torch.arange(len(images))

    def without_graph() -> None:
        with torch.no_grad():
            net(images)

    def leaf() -> torch.Tensor:
        return images.clone().requires_grad_()

    cam = captum.attr.LayerGradCam(theirs, theirs.stage("conv5"))
    return {
        "forward": lambda: net(images),
        "forward without a graph": without_graph,
        "grad_cam": lambda: grad_cam(net, images, targets),
        "captum grad_cam": lambda: cam.attribute(images, targets, relu_attributions=True),
        "saliency": lambda: saliency(net, images, targets),
        "captum saliency": lambda: captum.attr.Saliency(theirs).attribute(leaf(), targets).amax(1),
        "guided_backprop": lambda: guided_backprop(net, images, targets),
        "captum guided_backprop": lambda: captum.attr.GuidedBackprop(theirs).attribute(leaf(), targets),
        "deconvnet": lambda: deconvnet(net, images, targets),
        "captum deconvnet": lambda: captum.attr.Deconvolution(theirs).attribute(leaf(), targets),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--channels_last", action="store_true")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", message="Setting backward hooks")
    torch.manual_seed(0)
    timed = ways(torch.randn(options.images, 3, 224, 224), options.channels_last)
    seconds: dict[str, list[float]] = {name: [] for name in timed}
    for way in timed.values():
        way()
    for _ in range(options.rounds):
        for name, way in timed.items():
            start = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - start)

    def ratio(of: str, to: str) -> float:
        return statistics.median(a / b for a, b in zip(seconds[of], seconds[to], strict=True))

    print(f"forward: {statistics.median(seconds['forward']):.2f} s, {options.rounds} rounds")
    for name in timed:
        if name != "forward":
            theirs = f"captum {name}"
            beside = f", {ratio(theirs, name):.2f} of captum's speed" if theirs in timed else ""
            print(f"{name}: {ratio('forward', name):.2f} of the forward pass{beside}")


if __name__ == "__main__":
    main()
