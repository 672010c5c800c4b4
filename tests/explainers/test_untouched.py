"""No explainer leaves a trace, wherever it is called from, also when it fails."""

import copy
from pathlib import Path
from trace import assert_same, state_of

import pytest
import torch
import torch.distributed as dist
from lightning.pytorch import Callback, LightningModule, Trainer
from nets import two_layers
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from convkit.convnet import Wrapped
from convkit.errors import UserError
from convkit.explainers.deconvnet import project
from convkit.explainers.grad_cam import grad_cam
from convkit.explainers.saliency import saliency
from convkit.plugins import find, load, named

QUICK = {"class_image": {"steps": 2, "jitter": 1}, "occlusion": {"size": 6, "stride": 6}}
EXPLAINERS = sorted(named("explainer"))
IMAGES, TARGETS = torch.randn(2, 3, 12, 12, generator=torch.Generator().manual_seed(0)), torch.tensor([1, 4])


def net_with_everything() -> Wrapped:
    """Batch norm, dropout that never ends, in-place ReLUs, a frozen weight, a module in another mode, gradients."""
    net = two_layers(nn.Sequential(nn.BatchNorm2d(8), nn.ReLU(inplace=True)), nn.ReLU(inplace=True))
    net.inner[1].append(Noise())
    net.train()
    net.inner[1][0].eval()
    net(IMAGES).sum().backward()
    net.inner[3].weight.requires_grad_(False)
    return net


class Noise(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + 0.01 * torch.rand_like(x)


def explain(name: str, net: nn.Module, images: Tensor = IMAGES, targets: Tensor = TARGETS) -> Tensor:
    return load(find("explainer", name))(net, images, targets, **QUICK.get(name, {}))


@pytest.mark.parametrize("name", EXPLAINERS)
def test_everything_is_as_before(name: str) -> None:
    net, images, targets = net_with_everything(), IMAGES.clone(), TARGETS.clone()
    before = state_of(net)
    found = explain(name, net, images, targets)
    assert_same(before, state_of(net))
    assert torch.equal(images, IMAGES)
    assert torch.equal(targets, TARGETS)
    assert not images.requires_grad
    assert not found.requires_grad


@pytest.mark.parametrize("name", EXPLAINERS)
def test_everything_is_as_before_after_an_exception(name: str) -> None:
    net = net_with_everything()
    last = net.inner[7].register_forward_hook(_fail)
    before = state_of(net)
    with pytest.raises(RuntimeError, match="in the last layer"):
        explain(name, net)
    assert_same(before, state_of(net))
    last.remove()


def _fail(*_: object) -> None:
    raise RuntimeError("in the last layer")


def test_a_target_that_is_not_there_leaves_no_trace_either() -> None:
    net = net_with_everything()
    before = state_of(net)
    for name in EXPLAINERS:
        with pytest.raises(UserError, match="there is no target 5: there are 5, counted from 0"):
            explain(name, net, targets=torch.tensor([1, 5]))
    assert_same(before, state_of(net))


@pytest.mark.parametrize("name", EXPLAINERS)
def test_inference_mode_and_no_grad(name: str) -> None:
    net = two_layers(nn.ReLU(), nn.ReLU(inplace=True))
    expected = explain(name, net)
    for surrounding in (torch.inference_mode, torch.no_grad):
        with surrounding():
            images, targets = IMAGES * 1, TARGETS * 1  # inference tensors in the first
            before = state_of(net)
            assert torch.equal(explain(name, net, images, targets), expected)
            assert_same(before, state_of(net))


@pytest.mark.parametrize("name", EXPLAINERS)
def test_a_network_made_in_inference_mode(name: str) -> None:
    expected = explain(name, two_layers(nn.ReLU(), nn.ReLU()))
    with torch.inference_mode():
        net = two_layers(nn.ReLU(), nn.ReLU())
        net.inner[0].register_buffer("unused", torch.zeros(1))
        before = state_of(net)
        assert net.inner[0].weight.is_inference()
        assert torch.equal(explain(name, net), expected)
        assert_same(before, state_of(net))


@pytest.mark.parametrize("name", EXPLAINERS)
def test_autocast_changes_nothing(name: str) -> None:
    """In full precision; and a weight that was cast with no graph stays in no cache, so training goes on."""
    net = two_layers(nn.ReLU(), nn.ReLU())
    expected = explain(name, net)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(explain(name, net), expected)
        net(IMAGES).sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


@pytest.mark.parametrize("name", EXPLAINERS)
@pytest.mark.parametrize("in_place", [True, False])
def test_compiled(name: str, in_place: bool) -> None:
    """The translation is not used, and is still there afterwards."""
    net = two_layers(nn.ReLU(), nn.ReLU(inplace=True)).eval()
    expected, graphs = explain(name, net), []

    def backend(graph: torch.fx.GraphModule, _: object) -> object:
        graphs.append(graph)
        return graph.forward

    if in_place:
        net.compile(backend=backend)
    compiled = net if in_place else torch.compile(net, backend=backend)
    with torch.no_grad():
        logits = compiled(IMAGES)
        translated = len(graphs)
        assert translated
        assert torch.equal(explain(name, compiled), expected)
        assert torch.equal(compiled(IMAGES), logits)
    assert len(graphs) == translated
    torch.compiler.reset()


def test_distributed(tmp_path: Path) -> None:
    dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'meeting'}", rank=0, world_size=1)
    try:
        net = two_layers(nn.ReLU(), nn.ReLU())
        replica = DistributedDataParallel(net)
        for name in EXPLAINERS:
            before = state_of(net)
            assert torch.equal(explain(name, replica), explain(name, copy.deepcopy(net)))
            assert_same(before, state_of(net))
        places = torch.zeros(2, 2, dtype=torch.int64)
        expected = project(net, IMAGES, "conv1", TARGETS, places)
        assert torch.equal(project(replica, IMAGES, "conv1", TARGETS, places), expected)
        replica(IMAGES).sum().backward()  # training goes on
    finally:
        dist.destroy_process_group()


class Training(LightningModule):
    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def training_step(self, batch: list[Tensor]) -> Tensor:
        return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

    validation_step = training_step

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.net.parameters(), 0.1, momentum=0.9)


class Explaining(Callback):
    """All explainers, in validation and in the middle of training."""

    def __init__(self) -> None:
        self.found: dict[str, Tensor] = {}
        self.in_inference_mode = False

    def on_validation_batch_end(self, trainer: Trainer, module: Training, outputs, batch, batch_idx: int) -> None:
        self.in_inference_mode |= torch.is_inference_mode_enabled()
        self.explain(module)

    def on_train_batch_end(self, trainer: Trainer, module: Training, outputs, batch, batch_idx: int) -> None:
        self.explain(module)

    def on_after_backward(self, trainer: Trainer, module: Training) -> None:
        self.explain(module)

    def explain(self, module: Training) -> None:
        for name in EXPLAINERS:
            self.found[name] = explain(name, module.net)


def trained(tmp_path: Path, *callbacks: Callback) -> Wrapped:
    net = two_layers(nn.Sequential(nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.Dropout(0.5)), nn.ReLU(inplace=True))
    torch.manual_seed(5)
    data = torch.utils.data.TensorDataset(IMAGES.repeat(4, 1, 1, 1), TARGETS.repeat(4))
    loader = torch.utils.data.DataLoader(data, 4)
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    trainer = Trainer(max_epochs=2, accelerator="cpu", callbacks=list(callbacks), default_root_dir=tmp_path, **quiet)
    module = Training(net)
    trainer.fit(module, loader, loader)
    trainer.validate(module, loader, verbose=False)  # in inference mode; fit validates without gradients only
    return net


@pytest.mark.filterwarnings("ignore:.*does not have many workers.*")
def test_lightning(tmp_path: Path) -> None:
    """A fit in which everything is explained all the time ends with the same weights."""
    watching = Explaining()
    explained, plain = trained(tmp_path, watching), trained(tmp_path)
    assert watching.in_inference_mode
    assert set(watching.found) == set(EXPLAINERS)
    for (name, ours), theirs in zip(explained.state_dict().items(), plain.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs), name


@pytest.mark.parametrize("explainer", [saliency, grad_cam])
def test_images_and_targets_that_do_not_fit(explainer) -> None:
    net = two_layers(nn.ReLU(), nn.ReLU())
    with pytest.raises(UserError, match=r"^images are N×C×H×W floating-point numbers, not 3×12×12 of float32$"):
        explainer(net, IMAGES[0], TARGETS[:1])
    with pytest.raises(UserError, match=r"^images are N×C×H×W floating-point numbers, not 2×3×12×12 of uint8$"):
        explainer(net, IMAGES.byte(), TARGETS)
    with pytest.raises(UserError, match=r"^targets are 2 whole numbers, one for each image, not 3 of int64$"):
        explainer(net, IMAGES, torch.tensor([1, 2, 3]))
    with pytest.raises(UserError, match=r"^targets are 2 whole numbers, one for each image, not 2 of float32$"):
        explainer(net, IMAGES, TARGETS.float())
