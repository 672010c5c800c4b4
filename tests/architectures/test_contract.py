"""What every architecture plugin must do, whoever brings it: one test a clause, run over all that are installed."""

import copy
import inspect
import io
import pickle
import re
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from convkit.convnet import ConvNet, as_outputs
from convkit.plugins import find, load, named

SHAPES = ((3, 32, 32), (1, 28, 28), (3, 40, 48))


class Case(NamedTuple):
    """Options that make a plugin quick to test, and three image shapes that it takes then."""

    options: dict[str, Any] = {}
    shapes: tuple[tuple[int, int, int], ...] = SHAPES


# An architecture that is not listed is tested with its own defaults.
CASES = {
    "alexnet": Case({"dropout": 0.0}, ((3, 64, 64), (1, 64, 64), (3, 64, 96))),
    "deepface": Case({"dense_width": 64}, ((3, 80, 80), (1, 72, 72), (3, 80, 96))),
    "densenet": Case({}, ((3, 32, 32), (1, 32, 32), (3, 32, 48))),
    "densenet_cifar": Case({"depth": 22}),
    "inception_v3": Case({}, ((3, 80, 80), (1, 75, 75), (3, 80, 96))),
    "resnet": Case({"depth": 18}),
    "timm": Case({"name": "mobilenetv2_100"}),
    "vgg": Case({"variant": "A", "dense_width": 64}, ((3, 32, 32), (1, 32, 32), (3, 32, 64))),
}


def case(name: str) -> Case:
    return CASES.get(name, Case())


def build(name: str, shape: tuple[int, int, int] | None = None, num_classes: int = 7) -> ConvNet:
    net = load(find("architecture", name))(num_classes, shape or case(name).shapes[0], **case(name).options)
    assert isinstance(net, ConvNet)
    return net


@cache
def built(name: str) -> ConvNet:
    """One network for the tests that leave it as it was."""
    torch.manual_seed(0)
    return build(name)


def images(name: str, count: int = 4, shape: tuple[int, int, int] | None = None) -> Tensor:
    return torch.randn(count, *(shape or case(name).shapes[0]), generator=torch.Generator().manual_seed(1))


every_architecture = pytest.mark.parametrize("name", sorted(named("architecture")))


@every_architecture
def test_signature(name: str) -> None:
    plugin = load(find("architecture", name))
    parameters = list(inspect.signature(plugin).parameters.values())
    assert [parameter.name for parameter in parameters[:2]] == ["num_classes", "image_shape"]
    untyped = [parameter.name for parameter in parameters if parameter.annotation is parameter.empty]
    assert not untyped, "the command line needs a type for each option"


@every_architecture
def test_takes_images_of_several_shapes(name: str) -> None:
    for shape in case(name).shapes:
        assert_takes(name, shape)


def assert_takes(name: str, shape: tuple[int, int, int]) -> None:
    net = build(name, shape).eval()
    with torch.no_grad():
        logits = net(images(name, 2, shape))
    assert logits.shape == (2, 7)
    assert logits.isfinite().all()


@every_architecture
def test_backward_reaches_every_parameter(name: str) -> None:
    net = copy.deepcopy(built(name)).train()
    outputs = as_outputs(net(images(name)))
    assert list(outputs.aux) == list(net.aux_heads)
    sum(logits.square().sum() for logits in (outputs.logits, *outputs.aux.values())).backward()
    without = [key for key, parameter in net.named_parameters() if parameter.grad is None]
    assert not without


@every_architecture
def test_evaluation_is_deterministic_and_returns_logits_alone(name: str) -> None:
    net = built(name).eval()
    before = copy.deepcopy(net.state_dict())
    with torch.no_grad():
        first, second = net(images(name)), net(images(name))
    assert isinstance(first, Tensor)
    assert torch.equal(first, second)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


@every_architecture
def test_state_dict_round_trip(name: str) -> None:
    torch.manual_seed(2)
    other = build(name)
    file = io.BytesIO()
    torch.save(built(name).state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    with torch.no_grad():
        assert torch.equal(other.eval()(images(name)), built(name).eval()(images(name)))


@every_architecture
def test_pickles(name: str) -> None:
    again = pickle.loads(pickle.dumps(built(name)))
    with torch.no_grad():
        assert torch.equal(again.eval()(images(name)), built(name).eval()(images(name)))


@every_architecture
def test_stages_exist_in_forward_order(name: str) -> None:
    net = built(name).eval()
    assert net.stages
    finished: list[str] = []
    hooks = [
        net.stage(stage).register_forward_hook(lambda *_, stage=stage: finished.append(stage)) for stage in net.stages
    ]
    try:
        with torch.no_grad():
            net(images(name))
    finally:
        for hook in hooks:
            hook.remove()
    assert finished == list(net.stages)


@every_architecture
def test_nothing_overwrites_a_stage(name: str) -> None:
    assert_stages_stay(built(name).eval(), images(name))


def test_nothing_overwrites_the_sum_of_a_preactivated_unit() -> None:
    net = load(find("architecture", "resnet_cifar"))(7, (3, 32, 32), 20, unit="relu_only_preactivation")
    assert_stages_stay(net.eval(), torch.randn(2, 3, 32, 32))


def assert_stages_stay(net: ConvNet, batch: Tensor) -> None:
    """What a hook on a stage keeps is what the stage put out: no later layer works on it in place."""
    kept: list[tuple[str, Tensor, Tensor]] = []
    hooks = [
        net.stage(stage).register_forward_hook(
            lambda module, inputs, output, stage=stage: kept.append((stage, output, output.clone()))
        )
        for stage in net.stages
    ]
    with torch.no_grad():
        net(batch)
    for hook in hooks:
        hook.remove()
    assert [stage for stage, output, before in kept if not torch.equal(output, before)] == []


@every_architecture
def test_an_image_too_small_is_refused_in_one_line(name: str) -> None:
    channels = case(name).shapes[0][0]
    message = refusal(name, (channels, 1, 1))
    if message is None:
        return assert_takes(name, (channels, 1, 1))
    found = re.search(rf"^{name}\b.*: .* gets .*; (\d+)×\d+ is the smallest that works$", message)
    assert found, message
    smallest = int(found[1])
    assert refusal(name, (channels, smallest, smallest)) is None
    assert str(smallest) in str(refusal(name, (channels, smallest - 1, smallest - 1)))


def refusal(name: str, shape: tuple[int, int, int]) -> str | None:
    try:
        build(name, shape)
    except ValueError as error:
        return str(error)
    return None


@every_architecture
def test_compiles_without_a_graph_break(name: str) -> None:
    """What torch.compile captures; its own code generator is torch's to test, and slow."""
    net = built(name).eval()
    compiled = torch.compile(net, fullgraph=True, backend="eager")
    with torch.no_grad():
        torch.testing.assert_close(compiled(images(name)), net(images(name)))
    torch.compiler.reset()


def test_two_ranks_leave_no_parameter_unused(tmp_path: Path) -> None:
    """All architectures in one pair of processes: DDP raises in the second step where one of them is unused."""
    mp.spawn(_train_on_rank, (sorted(named("architecture")), str(tmp_path / "meeting")), nprocs=2)


def _train_on_rank(rank: int, names: list[str], meeting: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
    for name in names:
        net = build(name)
        replica = DistributedDataParallel(net)
        for _ in range(2):
            outputs = as_outputs(replica(images(name, 2)))
            sum(logits.square().sum() for logits in (outputs.logits, *outputs.aux.values())).backward()
            net.zero_grad()
    dist.destroy_process_group()
