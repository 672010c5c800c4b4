"""Which parameters belong to which stage, and what a name in a config selects."""

from typing import Any

import pytest
from torch import nn

from convkit import plugins
from convkit.convnet import ConvNet, Wrapped
from convkit.errors import UserError
from convkit.parts import parameters_of, parts, select

PHOTOGRAPH, SMALL = (3, 224, 224), (3, 32, 32)


def built(name: str, image_shape: tuple[int, int, int] = PHOTOGRAPH, /, **options: Any) -> ConvNet:
    net: ConvNet = plugins.load(plugins.find("architecture", name))(10, image_shape, **options)
    return net


def names(net: ConvNet, stage: str) -> list[str]:
    return parameters_of(net, parts(net)[stage])


NETWORKS = [
    ("lenet", (1, 32, 32), {}),
    ("alexnet", PHOTOGRAPH, {}),
    ("vgg", PHOTOGRAPH, {"variant": "A", "batch_norm": True}),
    ("googlenet", PHOTOGRAPH, {"width": 0.125}),
    ("inception_v3", (3, 299, 299), {"width": 0.125}),
    ("resnet", PHOTOGRAPH, {"depth": 18}),
    ("resnet_cifar", SMALL, {"depth": 20}),
    ("densenet", PHOTOGRAPH, {"depth": 121}),
    ("deepface", (3, 152, 152), {}),
    ("timm", PHOTOGRAPH, {"name": "mobilenetv2_100"}),
    ("timm", PHOTOGRAPH, {"name": "convnext_atto"}),
    ("timm", PHOTOGRAPH, {"name": "vit_tiny_patch16_224"}),
]


@pytest.mark.parametrize(("name", "shape", "options"), NETWORKS, ids=lambda value: str(value))
def test_every_parameter_belongs_to_one_stage_and_none_is_without(
    name: str, shape: tuple[int, int, int], options: dict[str, Any]
) -> None:
    net = built(name, shape, **options)
    of_stage = {stage: parameters_of(net, paths) for stage, paths in parts(net).items()}
    found = [parameter for members in of_stage.values() for parameter in members]
    assert sorted(found) == sorted(each for each, _ in net.named_parameters())
    assert list(of_stage) == [*net.stages, *net.aux_heads]
    assert all(of_stage.values())  # each has something to learn
    head = net.stages["head"]
    assert all(each.startswith(f"{head}.") for each in of_stage["head"])
    leaves = [path for paths in parts(net).values() for path in paths]
    assert len(leaves) == len(set(leaves))


def test_a_stage_is_what_leads_to_its_point() -> None:
    net = built("alexnet")
    assert names(net, "conv1") == ["features.0.weight", "features.0.bias"]
    assert names(net, "fc6") == ["classifier.1.weight", "classifier.1.bias"]
    assert "classifier.0" in parts(net)["fc6"] or "classifier.dropout6" in parts(net)["fc6"]
    net = built("resnet", depth=18)
    assert {each.partition(".")[0] for each in names(net, "conv1")} == {"conv1", "bn1"}
    assert {each.partition(".")[0] for each in names(net, "conv3")} == {"layer2"}


def test_what_lies_between_the_last_stage_and_the_head_belongs_to_the_stage() -> None:
    assert "features.norm5.weight" in names(built("densenet", depth=121), "dense_block4")
    mobile = built("timm", name="mobilenetv2_100")
    assert "inner.conv_head.weight" in names(mobile, "stage4")
    assert names(mobile, "head") == ["inner.classifier.weight", "inner.classifier.bias"]


def test_parameters_that_a_container_holds_itself() -> None:
    assert {"inner.cls_token", "inner.pos_embed"} <= set(names(built("timm", name="vit_tiny_patch16_224"), "stage0"))


def test_auxiliary_heads_are_parts_of_their_own_and_not_of_the_body() -> None:
    net = built("googlenet", width=0.125)
    assert {each.partition(".")[0] for each in names(net, "aux1")} == {"aux1"}
    body = select(net, "body", "freeze")
    assert not [each for each in body if each.startswith(("aux", "fc."))]
    assert {each.partition(".")[0] for each in select(net, "aux*", "freeze")} == {"aux1", "aux2"}


def test_body_and_head_are_all_there_is() -> None:
    net = built("resnet_cifar", SMALL)
    assert sorted(select(net, "body", "rates") + select(net, "head", "rates")) == sorted(
        each for each, _ in net.named_parameters()
    )


def test_nested_stages_keep_their_own() -> None:
    inner = nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)), nn.Flatten(), nn.Linear(4, 2))
    net = Wrapped(inner, {"first": "0.0", "both": "0", "head": "2"})
    assert names(net, "first") == ["inner.0.0.weight", "inner.0.0.bias"]
    assert names(net, "both") == ["inner.0.1.weight", "inner.0.1.bias"]


def test_a_network_whose_only_stage_is_the_head() -> None:
    net = Wrapped(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4, 2)), {"head": "2"})
    assert select(net, "body", "freeze") == ["inner.0.weight", "inner.0.bias"]


@pytest.mark.parametrize(
    ("pattern", "starts"),
    [
        ("conv1", ("conv1.", "bn1.")),  # the stage, not the module of that name
        ("conv[12]", ("conv1.", "bn1.", "layer1.")),
        ("layer2.0", ("layer2.0.",)),
        ("layer3.*.bn1.*", ("layer3.",)),
    ],
)
def test_stages_modules_and_patterns(pattern: str, starts: tuple[str, ...]) -> None:
    net = built("resnet_cifar", SMALL)
    found = select(net, pattern, "rates")
    assert all(each.startswith(starts) for each in found)
    assert {start for start in starts for each in found if each.startswith(start)} == set(starts)


def test_a_pattern_of_parameters() -> None:
    net = built("lenet", (1, 32, 32))
    assert select(net, "*.bias", "rates") == [each for each, _ in net.named_parameters() if each.endswith(".bias")]


@pytest.mark.parametrize(
    ("name", "way_out"), [("con1", "did you mean conv1?"), ("zzz", "choose from body, conv1, conv3, fc5, fc6, head")]
)
def test_what_selects_nothing(name: str, way_out: str) -> None:
    with pytest.raises(UserError) as raised:
        select(built("lenet", (1, 32, 32)), name, "freeze")
    assert f"freeze: {name!r} is no stage, module or parameter of LeNet" in str(raised.value)
    assert way_out in str(raised.value)
