import pytest
import torch
import torchvision
from torch import nn

from convkit.architectures.vgg import VGG

TORCHVISION = {"A": "vgg11", "B": "vgg13", "D": "vgg16", "E": "vgg19"}


# Table 2 in millions, and to the last parameter where torchvision has the variant
@pytest.mark.parametrize(
    ("variant", "millions", "exact"),
    [
        ("A", 133, 132_863_336),
        ("A-LRN", 133, 132_863_336),
        ("B", 133, 133_047_848),
        # D with three of its 3×3 convolutions, 256 and twice 512 maps wide, made 1×1
        ("C", 134, 138_357_544 - 8 * (256**2 + 2 * 512**2)),
        ("D", 138, 138_357_544),
        ("E", 144, 143_667_240),
    ],
)
def test_parameters_of_table_2(variant, millions, exact):
    with torch.device("meta"):
        net = VGG(1000, (3, 224, 224), variant)
        count = sum(parameter.numel() for parameter in net.parameters())
        assert count == exact
        assert round(count / 1e6) == millions
        if variant in TORCHVISION:
            theirs = getattr(torchvision.models, TORCHVISION[variant])()
            shapes = {name: value.shape for name, value in theirs.state_dict().items()}
            assert {name: value.shape for name, value in net.state_dict().items()} == shapes


# One pixel before the dense layers keeps the test light; they are compared at their full size below.
@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("variant", TORCHVISION)
def test_agrees_with_torchvision(variant, batch_norm):
    factory = getattr(torchvision.models, TORCHVISION[variant] + ("_bn" if batch_norm else ""))
    with torch.device("meta"):
        theirs = factory(num_classes=10, dropout=0.0)
        theirs.avgpool, theirs.classifier[0] = nn.AdaptiveAvgPool2d(1), nn.Linear(512, 128)
        theirs.classifier[3], theirs.classifier[6] = nn.Linear(128, 128), nn.Linear(128, 10)
    theirs = theirs.to_empty(device="cpu")
    for module in theirs.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    ours = VGG(10, (3, 64, 64), variant, batch_norm, dropout=0.0, dense_width=128, pooled_size=1)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        for mode in (True, False):
            torch.testing.assert_close(ours.train(mode)(images), theirs.train(mode)(images), rtol=1e-5, atol=1e-5)


def test_agrees_with_torchvision_at_full_size():
    theirs = torchvision.models.vgg11(num_classes=10, init_weights=False, dropout=0.0)
    ours = VGG(10, (3, 64, 64), "A", dropout=0.0)
    ours.load_state_dict(theirs.state_dict(), strict=True, assign=True)
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(ours.eval()(images), theirs.eval()(images), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(ours.train()(images), theirs.train()(images), rtol=1e-5, atol=1e-5)


def test_starts_as_torchvision_does():
    ours = VGG(10, (3, 32, 32), "A", batch_norm=True, dense_width=512, pooled_size=1)
    with torch.device("meta"):
        theirs = torchvision.models.vgg11_bn(init_weights=False)
        theirs.classifier = nn.Sequential(nn.Linear(512, 512))
    theirs = theirs.to_empty(device="cpu")
    # torchvision's own lines, for a convolution and a dense layer
    nn.init.kaiming_normal_(theirs.features[4].weight, mode="fan_out", nonlinearity="relu")
    nn.init.normal_(theirs.classifier[0].weight, 0, 0.01)
    for name in ("features.4.weight", "classifier.0.weight"):
        expected = theirs.get_parameter(name).std().item()
        assert ours.get_parameter(name).std().item() == pytest.approx(expected, rel=0.02)
    for name, value in ours.state_dict().items():
        if name.endswith(("bias", "running_mean")):
            assert not value.any(), name
        elif "running_var" in name or value.ndim == 1:
            assert (value == 1).all(), name


def test_variants_are_the_columns_of_table_1():
    with torch.device("meta"):
        nets = {variant: VGG(10, (3, 32, 32), variant) for variant in ("A", "A-LRN", "B", "C", "D", "E")}
    kernels = {
        name: [module.kernel_size[0] for module in net.features.modules() if isinstance(module, nn.Conv2d)]
        for name, net in nets.items()
    }
    # the names of the variants give their layers with weights: 11, 11, 13, 16, 16, 19
    assert {name: len(value) + 3 for name, value in kernels.items()} == {
        "A": 11,
        "A-LRN": 11,
        "B": 13,
        "C": 16,
        "D": 16,
        "E": 19,
    }
    assert kernels["C"] == [3, 3, 3, 3, 3, 3, 1, 3, 3, 1, 3, 3, 1]
    assert all(set(value) == {3} for name, value in kernels.items() if name != "C")


def test_local_response_normalisation_follows_the_first_convolution_alone():
    plain, normalised = (VGG(4, (3, 32, 32), name, dense_width=16, pooled_size=1).eval() for name in ("A", "A-LRN"))
    normalised.load_state_dict(plain.state_dict())
    x = plain.features[:2](torch.randn(1, 3, 32, 32)).detach()
    padded = torch.nn.functional.pad(x**2, (0, 0, 0, 0, 2, 2))
    total = sum(padded[:, i : i + 64] for i in range(5))
    expected = plain.classifier(plain.avgpool(plain.features[2:](x / (2 + 1e-4 * total) ** 0.75)).flatten(1))
    found = normalised.classifier(normalised.avgpool(normalised.features[2:](normalised.features[1](x))).flatten(1))
    torch.testing.assert_close(found, expected)
    assert isinstance(normalised.stage("conv1_1"), nn.ReLU)


@pytest.mark.parametrize("variant", ["A-LRN", "C", "D"])
def test_stages_are_the_activations(variant):
    net = VGG(4, (1, 32, 48), variant, batch_norm=True, dense_width=16, pooled_size=1)
    names = list(net.stages)
    assert names[0] == "conv1_1"
    assert names[-3:] == ["fc6", "fc7", "head"]
    assert ("conv5_3" in names) == (variant != "A-LRN")
    seen = []
    for name in names:
        module = net.stage(name)
        assert isinstance(module, nn.Linear if name == "head" else nn.ReLU)
        module.register_forward_hook(lambda module, inputs, output, name=name: seen.append(name))
    logits = net(torch.randn(2, 1, 32, 48))
    assert seen == names
    logits.sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


def test_dropout_is_on_the_first_two_dense_layers():
    with torch.device("meta"):
        net = VGG(4, (3, 32, 32), "A", dropout=0.25)
    found = {name: module.p for name, module in net.named_modules() if isinstance(module, nn.Dropout)}
    assert found == {"classifier.2": 0.25, "classifier.5": 0.25}


def test_a_dense_part_for_small_images():
    with torch.device("meta"):
        net = VGG(10, (3, 32, 32), "A", dense_width=512, pooled_size=1)
    dense = sum(parameter.numel() for parameter in net.classifier.parameters())
    assert dense == 2 * (512 * 512 + 512) + 512 * 10 + 10


def test_mistakes_in_one_line():
    with torch.device("meta"):
        with pytest.raises(ValueError, match=r"^vgg: unknown variant 'A_LRN'; did you mean A-LRN\?$"):
            VGG(10, (3, 32, 32), "A_LRN")
        with pytest.raises(
            ValueError, match=r"^vgg: an image of 31×40 is too small: features.30 gets 512×1×2; 32×32 is"
        ):
            VGG(10, (3, 31, 40))


@pytest.mark.parametrize("option", ["dense_width", "pooled_size"])
def test_nothing_is_no_width(option: str) -> None:
    with pytest.raises(ValueError, match=f"vgg: {option} is a number from 1 on, not 0"):
        VGG(10, (3, 32, 32), **{option: 0})
