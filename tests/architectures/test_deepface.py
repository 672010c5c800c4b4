import pytest
import torch
from torch import Tensor, nn

from convkit.architectures.deepface import DeepFace
from convkit.locally_connected import LocallyConnected2d


def parameters(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


def test_sizes_of_figure_2():
    with torch.device("meta"):
        net = DeepFace(4030, (3, 152, 152))
        sizes = []
        for name, module in net.named_children():
            if isinstance(module, nn.Conv2d | nn.MaxPool2d | LocallyConnected2d | nn.Linear):

                def keep(module: nn.Module, inputs: object, output: Tensor, name: str = name) -> None:
                    sizes.append((name, tuple(output.shape[1:])))

                module.register_forward_hook(keep)
        net(torch.empty(1, 3, 152, 152))
    assert sizes == [
        ("conv1", (32, 142, 142)),
        ("pool2", (32, 71, 71)),
        ("conv3", (16, 63, 63)),
        ("local4", (16, 55, 55)),
        ("local5", (16, 25, 25)),
        ("local6", (16, 21, 21)),
        ("fc7", (4096,)),
        ("fc8", (4030,)),
    ]


def test_parameters():
    with torch.device("meta"):
        net = DeepFace(4030, (3, 152, 152))
    # by hand: windows times maps, plus biases, at each location
    by_layer = {
        "conv1": 32 * (3 * 11 * 11 + 1),
        "conv3": 16 * (32 * 9 * 9 + 1),
        "local4": 55 * 55 * 16 * (16 * 9 * 9 + 1),
        "local5": 25 * 25 * 16 * (16 * 7 * 7 + 1),
        "local6": 21 * 21 * 16 * (16 * 5 * 5 + 1),
        "fc7": 4096 * (21 * 21 * 16 + 1),
        "fc8": 4030 * (4096 + 1),
    }
    assert {name: parameters(net.get_submodule(name)) for name in by_layer} == by_layer
    assert parameters(net) == sum(by_layer.values()) == 118_923_774
    # §3.2: "more than 95% come from the local and fully connected layers"
    assert by_layer["conv1"] + by_layer["conv3"] == 53_136
    # the paper's "more than 120 million" holds for a few more people than its 4,030
    with torch.device("meta"):
        assert parameters(DeepFace(4292, (3, 152, 152))) < 120e6 < parameters(DeepFace(4293, (3, 152, 152)))


@pytest.mark.parametrize("shape", [(1, 72, 72), (3, 80, 96)])
@pytest.mark.parametrize("local", [True, False])
def test_other_images_and_shared_weights(shape, local):
    net = DeepFace(5, shape, local=local, dense_width=32).eval()
    assert isinstance(net.local4, LocallyConnected2d if local else nn.Conv2d)
    images = torch.randn(2, *shape)
    logits = net(images)
    assert logits.shape == (2, 5)
    logits.sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


def test_local_layers_with_equal_filters_are_the_convolutional_network():
    shape = (3, 74, 76)
    shared = DeepFace(4, shape, local=False, dense_width=16).eval()
    local = DeepFace(4, shape, dense_width=16).eval()
    with torch.no_grad():
        for name, module in shared.named_children():
            own = local.get_submodule(name)
            if isinstance(own, LocallyConnected2d):
                own.filters.copy_(module.weight.expand_as(own.filters))
                own.bias.copy_(module.bias.expand_as(own.bias))
            else:
                own.load_state_dict(module.state_dict())
    images = torch.randn(2, *shape)
    torch.testing.assert_close(local(images), shared(images), rtol=1e-5, atol=1e-5)


def test_starts_as_in_the_paper_and_drops_out_behind_fc7_alone():
    net = DeepFace(50, (3, 72, 72))
    for name, parameter in net.named_parameters():
        if name.endswith("bias"):
            assert torch.equal(parameter, torch.full_like(parameter, 0.5))
        else:
            assert parameter.std().item() == pytest.approx(0.01, rel=0.05)
    names = [name for name, module in net.named_children() if isinstance(module, nn.Dropout)]
    assert names == ["dropout"]
    children = list(dict(net.named_children()))
    assert children[children.index("dropout") - 1] == "relu7"


def test_stages_are_the_activations():
    net = DeepFace(5, (3, 72, 72), dense_width=8)
    assert list(net.stages) == ["conv1", "conv3", "local4", "local5", "local6", "fc7", "head"]
    assert all(isinstance(net.stage(name), nn.ReLU) for name in list(net.stages)[:-1])
    assert isinstance(net.stage("head"), nn.Linear)


@pytest.mark.parametrize("local", [True, False])
def test_too_small(local):
    with torch.device("meta"):
        DeepFace(5, (3, 72, 72), local)
        with pytest.raises(ValueError, match=r"^deepface: an image of 71×90 is too small: local6 gets 4×9; 72×72 is"):
            DeepFace(5, (3, 71, 90), local)
