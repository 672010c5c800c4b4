"""Which tensors come from other weights and which stay a network's own: bit for bit, by kind of source."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor, nn

from convkit import plugins, sources
from convkit.architectures.googlenet import GoogLeNet
from convkit.architectures.lenet import LeNet
from convkit.architectures.timm import Timm
from convkit.convnet import ConvNet, Wrapped
from convkit.errors import UserError
from convkit.start import Start, start_from

PHOTOGRAPH, GREY = (3, 64, 64), (1, 28, 28)
State = dict[str, Tensor]


def built(name: str, num_classes: int, image_shape: tuple[int, int, int] = PHOTOGRAPH, /, **options: Any) -> ConvNet:
    """A network from the seed 3: two calls give the same."""
    torch.manual_seed(3)
    net: ConvNet = plugins.load(plugins.find("architecture", name))(num_classes, image_shape, **options)
    return net


def lenet(num_classes: int = 10) -> LeNet:
    return LeNet(num_classes, GREY)


def saved(state: Any, path: Path) -> Path:
    save_file(state, path) if path.suffix == ".safetensors" else torch.save(state, path)
    return path


def assert_parted(net: ConvNet, source: State, own: State, fresh: set[str]) -> None:
    """Every tensor but the fresh ones is the source's, and those are its own; a new classifier is near zero."""
    state = net.state_dict()
    assert fresh <= state.keys()
    for key, value in state.items():
        if key not in fresh:
            assert torch.equal(value, source[key]), key
        elif key.startswith(f"{net.stages['head']}."):
            assert 0 < value.abs().max() < 0.01 if value.ndim > 1 else not value.any(), key
        else:
            assert torch.equal(value, own[key]), key
    told_apart = [key for key in fresh if key not in source or not torch.equal(own[key], source[key])]
    assert not fresh or told_apart


TORCHVISION: list[tuple[str, Callable[[], nn.Module], tuple[int, int, int], dict[str, Any], str]] = [
    ("resnet", lambda: torchvision.models.resnet18(), PHOTOGRAPH, {"depth": 18}, "fc"),
    ("resnet", lambda: torchvision.models.resnet50(), PHOTOGRAPH, {}, "fc"),
    ("densenet", lambda: torchvision.models.densenet121(), PHOTOGRAPH, {}, "classifier"),
    ("googlenet", lambda: torchvision.models.googlenet(aux_logits=False, init_weights=False), PHOTOGRAPH,
     {"aux": False}, "fc"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "theirs", "shape", "options", "head"), TORCHVISION, ids=lambda value: str(value)[:12])
def test_a_torchvision_state_dict_for_seven_classes(
    name: str,
    theirs: Callable[[], nn.Module],
    shape: tuple[int, int, int],
    options: dict[str, Any],
    head: str,
    tmp_path: Path,
) -> None:
    source = theirs().state_dict()
    net, own = built(name, 7, shape, **options), built(name, 7, shape, **options).state_dict()
    start = start_from(net, saved(source, tmp_path / "theirs.pth"))
    fresh = {f"{head}.weight", f"{head}.bias"}
    assert_parted(net, source, own, fresh)
    assert (set(start.loaded), set(start.fresh), start.skipped) == (source.keys() - fresh, fresh, [])
    assert start.told(net).endswith(f"{len(source) - 2} tensors loaded; fresh: head ({head}.weight, {head}.bias)")


def test_safetensors_and_pickles_are_the_same(tmp_path: Path) -> None:
    source = lenet().state_dict()
    for name in ("w.safetensors", "w.pt"):
        net = lenet(7)
        own = {key: value.clone() for key, value in net.state_dict().items()}
        start_from(net, saved(source, tmp_path / name))
        assert_parted(net, source, own, {"fc7.weight", "fc7.bias"})


def test_the_published_cifar_network(shared: Callable[[str], Path]) -> None:
    path = shared("weights/resnet20-12fca82f.th")
    published = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    source = {key.removeprefix("module.").replace("linear.", "fc."): value for key, value in published.items()}
    for classes, fresh in ((10, set()), (100, {"fc.weight", "fc.bias"})):
        net, own = (built("resnet_cifar", classes, (3, 32, 32)) for _ in range(2))
        start = start_from(net, path)
        counters = {key for key in own.state_dict() if key.endswith("num_batches_tracked") and key not in source}
        assert_parted(net, source | {key: torch.tensor(0) for key in counters}, own.state_dict(), fresh)
        assert set(start.loaded) == source.keys() - fresh


def test_the_published_mobile_network(shared: Callable[[str], Path]) -> None:
    path = shared("weights/mobilenet_v2_tf_quant_timm_keys.pth")
    source = {f"inner.{key}": value for key, value in torch.load(path, weights_only=True).items()}
    options = {"name": "mobilenetv2_100", "options": {"pad_type": "same"}}
    net, own = (built("timm", 2, PHOTOGRAPH, **options) for _ in range(2))
    start = start_from(net, path)
    assert_parted(net, source, own.state_dict(), {"inner.classifier.weight", "inner.classifier.bias"})
    assert len(start.loaded) == len(source) - 2


def test_weights_that_timm_publishes_fit_timms_network_and_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = timm.create_model("resnet18").state_dict()
    path = saved(source, tmp_path / "model.safetensors")
    monkeypatch.setattr(sources, "timm_weights", lambda name: (path, source))
    net, own = (built("resnet", 7, depth=18) for _ in range(2))
    start_from(net, "timm:resnet18.a1_in1k")
    assert_parted(net, source, own.state_dict(), {"fc.weight", "fc.bias"})
    theirs, own = (built("timm", 1000, name="resnet18") for _ in range(2))
    start = start_from(theirs, "timm:resnet18.a1_in1k")
    assert_parted(theirs, {f"inner.{key}": value for key, value in source.items()}, own.state_dict(), set())
    assert start.told(theirs) == "started from timm:resnet18.a1_in1k: 122 tensors loaded"


# -- labels ------------------------------------------------------------------------------------------------------------


def trained(path: Path, class_names: list[str] | None, net: ConvNet | None = None) -> State:
    state = (net or lenet()).state_dict()
    about = {"convkit": {"class_names": class_names}} if class_names else {}
    torch.save({"state_dict": {f"net.{key}": value for key, value in state.items()}, **about}, path)
    return {key: value.clone() for key, value in state.items()}


DIGITS = [str(digit) for digit in range(10)]
HEAD = {"fc7.weight", "fc7.bias"}


@pytest.mark.parametrize(
    ("theirs", "ours", "fresh"),
    [
        (DIGITS, DIGITS, set()),
        (DIGITS, DIGITS[::-1], HEAD),
        (DIGITS, [*DIGITS[:9], "ten"], HEAD),
        (DIGITS, None, set()),
        (None, DIGITS, set()),
    ],
    ids=["same", "another order", "another name", "data without names", "weights without names"],
)
def test_same_labels_keep_the_classifier_and_others_start_a_new_one(
    theirs: list[str] | None, ours: list[str] | None, fresh: set[str], tmp_path: Path
) -> None:
    source, net = trained(tmp_path / "w.ckpt", theirs), lenet()
    own = {key: value.clone() for key, value in net.state_dict().items()}
    parameters = dict(net.named_parameters())
    start = start_from(net, tmp_path / "w.ckpt")
    assert_parted(net, source, own, set())  # until the data is known
    start.settle(net, ours)
    assert_parted(net, source, own, fresh)
    assert (set(start.loaded), set(start.fresh)) == (source.keys() - fresh, fresh)
    assert all(value is parameters[key] for key, value in net.named_parameters())  # what an optimizer may hold
    assert start.told(net).endswith("; fresh: head (fc7.weight, fc7.bias), for other classes") == bool(fresh)


def test_labels_are_compared_once(tmp_path: Path) -> None:
    """A second fit goes on with what the first has learned."""
    trained(tmp_path / "w.ckpt", DIGITS)
    net = lenet()
    start = start_from(net, tmp_path / "w.ckpt")
    start.settle(net, DIGITS[::-1])
    learned = {key: value.add_(1).clone() for key, value in net.state_dict().items()}
    start.settle(net, ["a"] * 10)
    start.refuse_untrained(net, ["a"] * 10)
    assert all(torch.equal(value, learned[key]) for key, value in net.state_dict().items())


def test_another_number_of_classes_starts_a_new_classifier(tmp_path: Path) -> None:
    source, net = trained(tmp_path / "w.ckpt", DIGITS), lenet(7)
    own = {key: value.clone() for key, value in net.state_dict().items()}
    start = start_from(net, tmp_path / "w.ckpt")
    start.settle(net, list("abcdefg"))
    assert_parted(net, source, own, HEAD)


def test_evaluation_wants_a_trained_classifier_of_its_own_labels(tmp_path: Path) -> None:
    trained(tmp_path / "w.ckpt", DIGITS)
    net = lenet()
    start = start_from(net, tmp_path / "w.ckpt")
    start.refuse_untrained(net, DIGITS)
    with pytest.raises(UserError, match=r"tells 0, 1, 2, … apart, and the data's classes are 9, 8, 7, …; convkit fit"):
        start.refuse_untrained(net, DIGITS[::-1])
    few = lenet(7)
    with pytest.raises(UserError, match=r"w\.ckpt leaves untrained: head \(fc7\.weight, fc7\.bias\); train it with"):
        start_from(few, tmp_path / "w.ckpt").refuse_untrained(few, None)


def test_weights_of_a_body_alone(tmp_path: Path) -> None:
    source = {key: value for key, value in lenet().state_dict().items() if not key.startswith("fc7.")}
    net = lenet()
    own = {key: value.clone() for key, value in net.state_dict().items()}
    start = start_from(net, saved(source, tmp_path / "w.pt"))
    assert_parted(net, source, own, HEAD)
    assert set(start.fresh) == HEAD


def test_of_a_head_of_two_layers_the_last_one_alone_is_near_zero(tmp_path: Path) -> None:
    """With both at zero neither would get a gradient."""

    def net() -> Wrapped:
        head = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3))
        body = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        return Wrapped(nn.Sequential(body, head), {"conv1": "0.1", "head": "1"})

    started = net()
    hidden = started.inner[1][0].weight.detach().clone()
    start_from(started, saved(net().state_dict(), tmp_path / "w.pt"), ["head"])
    assert torch.equal(started.inner[1][0].weight, hidden)
    assert 0 < started.inner[1][2].weight.abs().max() < 0.01


# -- fresh -------------------------------------------------------------------------------------------------------------

ALEXNET = {"dense_width": 16}


@pytest.mark.parametrize(
    ("fresh", "starts"),
    [
        (["fc7", "head"], ("classifier.4.", "classifier.6.")),
        (["conv[45]"], ("features.8.", "features.10.")),
        (["classifier.1"], ("classifier.1.",)),
    ],
    ids=str,
)
def test_stages_and_patterns_start_anew(fresh: list[str], starts: tuple[str, ...], tmp_path: Path) -> None:
    torch.manual_seed(1)
    source = plugins.load(plugins.find("architecture", "alexnet"))(10, PHOTOGRAPH, **ALEXNET).state_dict()
    net, own = (built("alexnet", 10, **ALEXNET) for _ in range(2))
    start_from(net, saved(source, tmp_path / "w.pt"), fresh)
    expected = {key for key in source if key.startswith(starts)}
    assert len(expected) == 2 * len(starts)
    assert_parted(net, source, own.state_dict(), expected)


def test_a_pattern_of_parameters_leaves_statistics_alone_and_a_stage_takes_them_along(tmp_path: Path) -> None:
    source = {key: value + 1 for key, value in built("resnet_cifar", 10, depth=8).state_dict().items()}
    path = saved(source, tmp_path / "w.pt")
    net, own = (built("resnet_cifar", 10, depth=8) for _ in range(2))
    start = start_from(net, path, ["*.bn1.bias"])
    expected = {key for key in source if key.endswith(".bn1.bias")}
    assert_parted(net, source, own.state_dict(), expected)
    assert set(start.fresh) == expected
    for name, prefix in (("conv3", "layer2."), ("layer1.0.bn2", "layer1.0.bn2.")):
        net = built("resnet_cifar", 10, depth=8)
        start_from(net, path, [name])
        expected = {key for key in source if key.startswith(prefix)}
        assert any(key.endswith("bn2.running_var") for key in expected)
        assert_parted(net, source, own.state_dict(), expected)


def test_statistics_without_parameters_go_with_their_stage(tmp_path: Path) -> None:
    def net() -> Wrapped:
        layers = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, affine=False), nn.Flatten(), nn.Linear(4, 2)
        return Wrapped(nn.Sequential(*layers), {"conv1": "1", "head": "3"})

    source = {key: value + 1 for key, value in net().state_dict().items()}
    start = start_from(net(), saved(source, tmp_path / "w.pt"), ["conv1"])
    assert start.fresh == [key for key in source if key.startswith(("inner.0.", "inner.1."))]
    assert "inner.1.running_var" in start.fresh


def test_what_is_fresh_may_have_any_shape_and_be_missing_or_surplus(tmp_path: Path) -> None:
    torch.manual_seed(1)
    options = {"remove": ["fc7"], "dense_width": 8}
    small = plugins.load(plugins.find("architecture", "alexnet"))(10, PHOTOGRAPH, **options).state_dict()
    net, own = (built("alexnet", 10, **ALEXNET) for _ in range(2))
    start = start_from(net, saved(small, tmp_path / "w.pt"), ["fc6", "fc7"])
    expected = {key for key in own.state_dict() if key.startswith("classifier.")}
    assert_parted(net, small, own.state_dict(), expected)
    assert start.skipped == []
    deep = built("resnet", 10, depth=34).state_dict()
    net, own = (built("resnet", 10, depth=18) for _ in range(2))
    start = start_from(net, saved(deep, tmp_path / "deep.pt"), ["conv[2345]"])
    assert set(start.loaded) == {key for key in deep if key.startswith(("conv1.", "bn1.", "fc."))}
    assert len(start.skipped) == len(deep) - len(own.state_dict())
    units = {"conv2": 1, "conv3": 2, "conv4": 4, "conv5": 1}  # more of them, of 12 tensors (He et al. 2016a, Table 1)
    listed = ", ".join(f"{stage} ({12 * count} tensors)" for stage, count in units.items())
    assert start.told(net).endswith(f"; skipped: {listed}")


def test_a_name_that_selects_nothing_is_told_before_the_file_is_read() -> None:
    with pytest.raises(
        UserError, match=r"model\.fresh: 'fc9' is no stage, module or parameter of LeNet; did you mean fc"
    ):
        start_from(lenet(), "nowhere.pth", ["fc9"])


def test_fresh_everything(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"model\.fresh leaves nothing to load from .*w\.pt"):
        start_from(lenet(), saved(lenet().state_dict(), tmp_path / "w.pt"), ["body", "head"])


# -- auxiliary heads ---------------------------------------------------------------------------------------------------


def googlenet(seed: int, num_classes: int, aux: bool) -> GoogLeNet:
    torch.manual_seed(seed)
    return GoogLeNet(num_classes, (3, 32, 32), aux=aux, width=0.125, stem="small")


def of_aux(state: State) -> set[str]:
    return {key for key in state if key.startswith("aux")}


def test_auxiliary_heads_that_the_network_lacks_are_skipped(tmp_path: Path) -> None:
    source = googlenet(1, 10, True).state_dict()
    net = googlenet(2, 10, False)
    start = start_from(net, saved(source, tmp_path / "w.pt"))
    assert_parted(net, source, {}, set())
    assert set(start.skipped) == of_aux(source) != set()
    assert start.told(net).endswith(" tensors loaded; skipped: aux1 (10 tensors), aux2 (10 tensors)")
    net.drop_aux()
    start.refuse_untrained(net, None)
    dropped = googlenet(2, 10, True)
    dropped.drop_aux()
    assert start_from(dropped, tmp_path / "w.pt").skipped == start.skipped


def test_auxiliary_heads_that_the_source_lacks_start_fresh(tmp_path: Path) -> None:
    source = googlenet(1, 10, False).state_dict()
    net, own = googlenet(2, 10, True), googlenet(2, 10, True).state_dict()
    start = start_from(net, saved(source, tmp_path / "w.pt"))
    assert_parted(net, source, own, of_aux(own))
    start.refuse_untrained(net, None)  # they serve training alone
    assert start.told(net).endswith("; fresh: aux1 (10 tensors), aux2 (10 tensors)")


def test_classifiers_of_auxiliary_heads_follow_the_labels(tmp_path: Path) -> None:
    classifiers = {f"{name}.{kind}" for name in ("fc", "aux1.fc2", "aux2.fc2") for kind in ("weight", "bias")}
    source = trained(tmp_path / "w.ckpt", DIGITS, googlenet(1, 10, True))
    for count, names in ((10, DIGITS[::-1]), (7, DIGITS[:7])):
        net, own = googlenet(2, count, True), googlenet(2, count, True).state_dict()
        start = start_from(net, tmp_path / "w.ckpt")
        start.settle(net, names)
        assert_parted(net, source, own, classifiers)
    net, own = googlenet(2, 10, True), googlenet(2, 10, True).state_dict()
    start_from(net, tmp_path / "w.ckpt", ["aux1"])
    assert_parted(net, source, own, {key for key in own if key.startswith("aux1.")})


def test_half_an_auxiliary_head_is_another_network(tmp_path: Path) -> None:
    source = googlenet(1, 10, True).state_dict()
    del source["aux1.fc1.weight"]
    with pytest.raises(UserError, match=r"do not fit GoogLeNet: 1 missing: aux1\.fc1\.weight"):
        start_from(googlenet(2, 10, True), saved(source, tmp_path / "w.pt"))


# -- weights of another network ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda s: {k: v for k, v in s.items() if "fc5" not in k},
            "LeNet: 2 missing: fc5.weight, fc5.bias; --model",
        ),
        (lambda s: {**s, "fc8.bias": torch.zeros(1)}, "LeNet: 1 not of this network: fc8.bias"),
        (
            lambda s: {**s, "fc6.bias": torch.zeros(3)},
            "LeNet: 1 of another shape: fc6.bias is 3, wanted 84; --m",
        ),
        (
            lambda s: {f"layer{i}.weight": torch.zeros(1) for i in range(5)},
            "LeNet: 8 missing: conv1.weight, conv1.bias, conv3.weight, …; "
            "5 not of this network: layer0.weight, layer1.weight, layer2.weight, …",
        ),
        (lambda s: {"state_dict": 5}, "LeNet: 8 missing"),
        (lambda s: {0: torch.zeros(1)}, "1 not of this network: 0"),
    ],
    ids=["missing", "surplus", "shape", "architecture", "no mapping", "numbers for keys"],
)
def test_what_does_not_fit_is_named_and_nothing_is_loaded(
    change: Callable[[State], dict[Any, Any]], said: str, tmp_path: Path
) -> None:
    net, path = lenet(), tmp_path / "w.pt"
    before = {key: value.clone() for key, value in net.state_dict().items()}
    torch.save(change(lenet().state_dict()), path)
    with pytest.raises(UserError) as raised:
        start_from(net, path)
    assert str(raised.value).startswith(f"the weights in {path} do not fit LeNet: ")
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


def test_the_way_out_is_one(tmp_path: Path) -> None:
    """Where a few stages differ, the list that would start them anew does."""
    path = saved(built("alexnet", 10, dense_width=8).state_dict(), tmp_path / "w.pt")
    with pytest.raises(UserError, match=r"; --model\.fresh '\[conv1, fc6, fc7\]' starts the rest anew$"):
        start_from(built("alexnet", 10, **ALEXNET), path, ["conv1"])
    start = start_from(built("alexnet", 10, **ALEXNET), path, ["conv1", "fc6", "fc7"])
    assert len(start.loaded) == 8
    with pytest.raises(UserError) as raised:  # another network: no list helps
        start_from(built("resnet", 10, depth=18), path)
    assert "fresh" not in str(raised.value)


def test_the_record_is_plain(tmp_path: Path) -> None:
    net = Timm(3, PHOTOGRAPH, "resnet10t")
    path = saved(timm.create_model("resnet10t").state_dict(), tmp_path / "w.safetensors")
    start = start_from(net, path, ["stage0"])
    record = json.loads(json.dumps(start.record()))
    assert isinstance(start, Start)
    assert (record["init_from"], record["path"]) == (str(path), str(path.resolve()))
    assert sorted(record["loaded"] + record["fresh"]) == sorted(net.state_dict())
    assert record["skipped"] == []
