"""Each clause of a contract tells the plugin that breaks it, in a sentence with what to do; whole ones pass all."""

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from lightning.pytorch import Trainer
from torch import Tensor, nn

from convkit import ConvNet, Schedule
from convkit.convnet import Outputs
from convkit.datasets.augment import Augment
from convkit.datasets.batches import Split
from convkit.datasets.in_memory import InMemoryData
from convkit.explainers.base import input_gradient, subject
from convkit.testing import architecture, dataset, explainer, schedule
from convkit.testing.contract import Clause, Outcome

Shape = tuple[int, int, int]


class Net(ConvNet):
    """Keeps the contract."""

    stages = {"conv1": "relu", "head": "head"}

    def __init__(self, num_classes: int, image_shape: Shape, width: int = 4) -> None:
        super().__init__()
        self.conv, self.norm, self.relu = nn.Conv2d(image_shape[0], width, 1), nn.BatchNorm2d(width), nn.ReLU()
        self.head = nn.Linear(width, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.relu(self.norm(self.conv(images))).mean((2, 3)))
        return logits


class Spare(Net):
    def __init__(self, num_classes: int, image_shape: Shape) -> None:
        super().__init__(num_classes, image_shape)
        self.spare = nn.Linear(2, 2)


class Dense(Net):
    """Fails in forward where an image has other sides than its own."""

    def __init__(self, num_classes: int, image_shape: Shape) -> None:
        super().__init__(num_classes, image_shape)
        self.head = nn.Linear(4 * 32 * 32, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.relu(self.norm(self.conv(images))).flatten(1))
        return logits


class Colour(Net):
    def __init__(self, num_classes: int, image_shape: Shape) -> None:
        super().__init__(num_classes, (3, *image_shape[1:]))


class Ten(Net):
    def __init__(self, num_classes: int, image_shape: Shape) -> None:
        super().__init__(10, image_shape)


class Noisy(Net):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images + torch.randn_like(images))


class Counting(Net):
    def __init__(self, num_classes: int, image_shape: Shape) -> None:
        super().__init__(num_classes, image_shape)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, images: Tensor) -> Tensor:
        self.seen += len(images)
        return super().forward(images)


class Unseeded(Net):
    def __init__(self, num_classes: int, image_shape: Shape) -> None:
        super().__init__(num_classes, image_shape)
        nn.init.normal_(self.conv.weight, generator=torch.Generator().manual_seed(torch.seed() % 2**31))


class Outside(Net):
    """Keeps a number that matters outside its state_dict."""

    def __init__(self, num_classes: int, image_shape: Shape) -> None:
        super().__init__(num_classes, image_shape)
        self.scale = torch.rand(())

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) * self.scale


class Local(Net):
    def __init__(self, num_classes: int, image_shape: Shape) -> None:
        super().__init__(num_classes, image_shape)
        self.act = lambda images: images


class Backwards(Net):
    stages = {"head": "head", "conv1": "relu"}


class Lost(Net):
    stages = {"conv1": "conv1", "head": "head"}


class Overwritten(Net):
    stages = {"conv1": "norm", "head": "head"}

    def __init__(self, num_classes: int, image_shape: Shape) -> None:
        super().__init__(num_classes, image_shape)
        self.relu = nn.ReLU(inplace=True)


class NoHeads(Net):
    aux_heads = {"early": "head"}


class WideInTraining(Net):
    def forward(self, images: Tensor) -> Tensor:
        logits = super().forward(images)
        return torch.cat([logits, logits[:, :1]], 1) if self.training else logits


class NarrowHead(Net):
    aux_heads = {"early": "early"}

    def __init__(self, num_classes: int, image_shape: Shape) -> None:
        super().__init__(num_classes, image_shape)
        self.early = nn.Linear(num_classes, 3)

    def forward(self, images: Tensor) -> Any:
        logits = super().forward(images)
        return Outputs(logits, {"early": self.early(logits)}) if self.training else logits


class PythonsChance(Net):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) * (random.random() if self.training else 1.0)


class Gregarious(Net):
    """Normalised by the batch it is in, when evaluated too."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward((images - images.mean(0)) * 1.5 if len(images) > 1 else images)


class Idle(Spare):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) + 0 * self.spare.weight.sum() + 0 * self.spare.bias.sum()


class StartsAtZero(Net):
    """Keeps the contract: its last scale is 0 at first, and hides the gradient of what is before."""

    def __init__(self, num_classes: int, image_shape: Shape) -> None:
        super().__init__(num_classes, image_shape)
        nn.init.zeros_(self.norm.weight)
        nn.init.ones_(self.norm.bias)


class Rank(Net):
    def __init__(self, num_classes: int, image_shape: Shape) -> None:
        super().__init__(num_classes, image_shape)
        if dist.is_initialized():
            nn.init.constant_(self.head.bias, dist.get_rank())


class ByRank(Net):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) + (dist.get_rank() if dist.is_initialized() else 0)


class Asserting(Net):
    """Keeps the contract: an assertion is a way to refuse a size."""

    def __init__(self, num_classes: int, image_shape: Shape) -> None:
        assert image_shape[0] == 1
        super().__init__(num_classes, image_shape)


class Untyped(Net):
    def __init__(self, num_classes: int, image_shape: Shape, width=4) -> None:  # type: ignore[no-untyped-def]
        super().__init__(num_classes, image_shape, width)


def unannotated(num_classes: int, image_shape: Shape):  # type: ignore[no-untyped-def]
    return Net(num_classes, image_shape)


class Batches:
    """A loader that nobody divides: Lightning takes a list for several loaders."""

    def __init__(self, images: Tensor, targets: Tensor, size: int) -> None:
        self.batches = list(zip(images.split(size), targets.split(size), strict=True))

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return iter(self.batches)


class Few(InMemoryData):
    """Keeps the contract."""

    num_classes, image_shape, class_names = 3, (1, 4, 4), ["a", "b", "c"]
    mean, std = (0.5,), (0.25,)

    def __init__(self, **options: Any) -> None:
        super().__init__(batch_size=4, val_fraction=0.2, augment=Augment(), **options)

    def load(self) -> tuple[Split, Split]:
        draw = torch.Generator().manual_seed(0)
        targets = torch.arange(30) % 3
        whole = Split(torch.randint(0, 256, (30, 1, 4, 4), generator=draw).byte(), targets)
        return whole, whole.take(torch.arange(9))


class Bytes(Few):
    mean, std = (127.0,), (60.0,)


class Names(Few):
    class_names = ["a", "b"]


class Twins(Few):
    class_names = ["a", "b", "b"]


class Late(Few):
    def __init__(self) -> None:
        super().__init__()
        self.image_shape = (1, 8, 8)

    def setup(self, stage: str | None = None) -> None:
        super().setup(stage or "fit")
        self.image_shape = (1, 4, 4)


class Wrong(Few):
    def load(self) -> tuple[Split, Split]:
        train, test = super().load()
        return Split(train.images, train.targets + 1), test


class Misplaced(Few):
    def labels(self, split: str) -> Tensor:
        return super().labels(split).flip(0)


class Unlabelled(Few):
    def labels(self, split: str) -> Tensor:
        return super().labels(split) * (split != "train")


class Mispicked(Few):
    def pick(self, split: str, positions: Tensor) -> Tensor:
        return super().pick(split, positions).flip(0)


class Generous(Few):
    def sample(self, split: str, count: int) -> tuple[Tensor, Tensor]:
        return super().sample(split, count + 1)


class Drawing(Few):
    """Another order of the test images at every reading."""

    readings = 0

    def test_dataloader(self) -> Any:
        self.readings += 1
        return [*super().test_dataloader()][:: (-1) ** self.readings]


class Lucky(Few):
    def train_dataloader(self) -> Any:
        return [(images + torch.rand(()), targets) for images, targets in super().train_dataloader()]


class Opened(Few):
    def __init__(self) -> None:
        super().__init__()
        self.file = (number for number in range(3))


class Undivided(Few):
    """The same images on every rank."""

    def test_dataloader(self) -> Any:
        return Batches(torch.arange(96.0).view(6, 1, 4, 4) / 96, torch.arange(6) % 3, 2)


class Everything(Few):
    """Of training all on every rank."""

    def train_dataloader(self) -> Any:
        train = self.splits["train"]
        return Batches((train.images.float() / 255 - 0.5) / 0.25, train.targets, 8)


class Plain(Schedule):
    """Keeps the contract."""

    def __init__(self, lr: float = 0.1) -> None:
        super().__init__()
        self.lr = lr

    def optimizers(self, net: ConvNet, trainer: Trainer) -> Any:
        return torch.optim.SGD(self.param_groups(net), lr=self.lr)


class HeadOnly(Plain):
    def param_groups(self, net: ConvNet) -> list[dict[str, Any]]:
        return [{"params": list(net.head.parameters()), "name": "head"}]  # type: ignore[union-attr]


class LeavesOut(Plain):
    """Its groups are whole, and its optimizer has others."""

    def optimizers(self, net: ConvNet, trainer: Trainer) -> Any:
        return torch.optim.SGD(net.head.parameters(), lr=self.lr)  # type: ignore[union-attr]


class Twice(Plain):
    def param_groups(self, net: ConvNet) -> list[dict[str, Any]]:
        return [{"params": list(net.parameters())}, {"params": list(net.head.parameters())}]  # type: ignore[union-attr]


class Nameless(Plain):
    def losses(self, outputs: Outputs, targets: Tensor) -> dict[str, Tensor]:
        return {"cross_entropy": super().losses(outputs, targets)["loss"]}


class Detached(Plain):
    def losses(self, outputs: Outputs, targets: Tensor) -> dict[str, Tensor]:
        return {name: value.detach() for name, value in super().losses(outputs, targets).items()}


class Still(Plain):
    def __init__(self) -> None:
        super().__init__(lr=0.0)


class Negative(Plain):
    def optimizers(self, net: ConvNet, trainer: Trainer) -> Any:
        optimizer = super().optimizers(net, trainer)
        optimizer.param_groups[0]["lr"] = -0.1
        return optimizer


class Forgetful(Plain):
    """Counts its steps in itself, and begins anew when a fit goes on."""

    def optimizers(self, net: ConvNet, trainer: Trainer) -> Any:
        optimizer = super().optimizers(net, trainer)
        steps = iter(range(1000))
        optimizer.register_step_pre_hook(lambda *_: _set(optimizer, 0.1 / (1 + next(steps))))
        return optimizer


def _set(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


def gradient(net: ConvNet, images: Tensor, targets: Tensor, scale: float = 1.0) -> Tensor:
    """Keeps the contract."""
    with subject(net, images, targets) as at:
        return input_gradient(at) * scale


def flat(net: ConvNet, images: Tensor, targets: Tensor) -> Tensor:
    return gradient(net, images, targets).sum((1, 2, 3))


def bare(net: ConvNet, images: Tensor, targets: Tensor, scale: float) -> Tensor:
    return gradient(net, images, targets, scale)


def nothing(net: ConvNet, images: Tensor, targets: Tensor) -> Tensor:
    return gradient(net, images, targets) * 0


def smooth(net: ConvNet, images: Tensor, targets: Tensor) -> Tensor:
    return gradient(net, images + torch.randn_like(images), targets)


def leaves_gradients(net: ConvNet, images: Tensor, targets: Tensor) -> Tensor:
    own = images.clone().requires_grad_()
    net(own).gather(1, targets[:, None]).sum().backward()
    assert own.grad is not None
    return own.grad


def leaves_a_mode(net: ConvNet, images: Tensor, targets: Tensor) -> Tensor:
    net.eval()
    return gradient(net, images, targets)


def leaves_a_hook(net: ConvNet, images: Tensor, targets: Tensor) -> Tensor:
    net.stage("conv1").register_forward_hook(lambda *_: None)
    return gradient(net, images, targets)


def leaves_an_option(net: ConvNet, images: Tensor, targets: Tensor) -> Tensor:
    for module in net.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    return gradient(net, images, targets)


def leaves_another_module(net: ConvNet, images: Tensor, targets: Tensor) -> Tensor:
    net.inner[2] = nn.Softplus()  # type: ignore[index, operator]
    return gradient(net, images, targets)


def leaves_another_forward(net: ConvNet, images: Tensor, targets: Tensor) -> Tensor:
    net.forward = type(net).forward.__get__(net)  # type: ignore[method-assign]
    return gradient(net, images, targets)


def leaves_a_hook_of_a_tensor(net: ConvNet, images: Tensor, targets: Tensor) -> Tensor:
    next(net.parameters()).register_hook(lambda grad: grad)
    return gradient(net, images, targets)


def leaves_other_targets(net: ConvNet, images: Tensor, targets: Tensor) -> Tensor:
    found = gradient(net, images, targets)
    targets.zero_()
    return found


def leaves_numpys_state(net: ConvNet, images: Tensor, targets: Tensor) -> Tensor:
    np.random.rand()
    return gradient(net, images, targets)


def leaves_autograd_off(net: ConvNet, images: Tensor, targets: Tensor) -> Tensor:
    torch.set_grad_enabled(True)
    found = gradient(net, images, targets)
    torch.set_grad_enabled(False)
    return found


def leaves_a_hook_behind_an_error(net: ConvNet, images: Tensor, targets: Tensor) -> Tensor:
    hook = net.stage("conv1").register_forward_hook(lambda *_: None)
    found = gradient(net, images, targets)
    hook.remove()
    return found


def swallows(net: ConvNet, images: Tensor, targets: Tensor) -> Tensor:
    try:
        return gradient(net, images, targets)
    except RuntimeError:
        return torch.ones_like(images)


def without_inference(net: ConvNet, images: Tensor, targets: Tensor) -> Tensor:
    before = {module: module.training for module in net.modules()}
    net.eval()
    try:
        own = images.clone().requires_grad_()
        (found,) = torch.autograd.grad(net(own).gather(1, targets[:, None]).sum(), own)
    finally:
        for module, training in before.items():
            module.training = training
    return found


BROKEN: list[tuple[Callable[..., list[Outcome]], Any, str, str]] = [
    (architecture.examine, 5, "target", "the target is a int"),
    (architecture.examine, unannotated, "target", "annotate it with -> ConvNet"),
    (architecture.examine, Untyped, "target", "width has no type annotation"),
    (architecture.examine, Ten, "shapes", "let the last layer have num_classes"),
    (architecture.examine, Colour, "shapes", "an image of 1×32×32 is built for and then raises"),
    (architecture.examine, Dense, "small image", "an image too small fails in forward only"),
    (architecture.examine, Spare, "backward", "spare.weight, spare.bias gets no gradient"),
    (architecture.examine, NoHeads, "backward", "Outputs.aux has [] and aux_heads ['early']"),
    (architecture.examine, Idle, "backward", "the gradient of spare.weight, spare.bias is 0 throughout"),
    (architecture.examine, WideInTraining, "backward", "in training the logits are 4×8 for 4×7"),
    (architecture.examine, NarrowHead, "backward", "in training early are 4×3 for 4×7"),
    (architecture.examine, PythonsChance, "seed", "a training pass gives other logits under the same seed"),
    (architecture.examine, Gregarious, "evaluation", "an image alone has other logits than among others"),
    (architecture.examine, Noisy, "evaluation", "draw nothing at random"),
    (architecture.examine, Counting, "evaluation", "evaluation changes seen"),
    (architecture.examine, Unseeded, "seed", "conv.weight differs under the same seed"),
    (architecture.examine, Outside, "state_dict", "other logits after load_state_dict"),
    (architecture.examine, Local, "pickling", "cannot be pickled"),
    (architecture.examine, Backwards, "stages", "stages are head, conv1 and forward passes conv1, head"),
    (architecture.examine, Lost, "stages", "conv1 (conv1) is no module of the network"),
    (architecture.examine, Overwritten, "stages", "a later layer overwrites conv1 in place"),
    (dataset.examine, Net, "target", "Net is no ImageData"),
    (dataset.examine, Late, "knows", "image_shape is another after setup"),
    (dataset.examine, Names, "knows", "has 2 class_names and num_classes 3"),
    (dataset.examine, Twins, "knows", "two class_names are the same"),
    (dataset.examine, Bytes, "knows", "give them of pixels from 0 to 1, not of bytes"),
    (dataset.examine, Wrong, "batches", "count the classes from 0"),
    (dataset.examine, Drawing, "evaluation", "test images differ the second time"),
    (dataset.examine, Misplaced, "labels", "labels('val') are not those of its batches"),
    (dataset.examine, Unlabelled, "labels", "labels('train') are not those of its batches"),
    (dataset.examine, Mispicked, "picks", "pick('val', …) gives other images"),
    (dataset.examine, Generous, "picks", "sample('train', 3) gives 4 images"),
    (dataset.examine, Lucky, "seed", "training differs under the same seed"),
    (dataset.examine, Opened, "pickling", "cannot be pickled"),
    (schedule.examine, Few, "target", "Few is no Schedule"),
    (schedule.examine, HeadOnly, "groups", "is in no group"),
    (schedule.examine, LeavesOut, "groups", "is in no group of the optimizers of a fit"),
    (schedule.examine, Twice, "groups", "is in several groups"),
    (schedule.examine, Nameless, "losses", "no 'loss'"),
    (schedule.examine, Detached, "losses", "do not detach it"),
    (schedule.examine, Negative, "rates", "step 0 has the rate lr/all -0.1"),
    (schedule.examine, Still, "learns", "nothing was learned"),
    (schedule.examine, Forgetful, "resumes", "other rates after going on from a checkpoint"),
    (explainer.examine, bare, "target", "the option scale has no default"),
    (explainer.examine, flat, "shape", "returns (2,) for images of (2, 3, 16, 16)"),
    (explainer.examine, nothing, "shape", "returns 0 everywhere"),
    (explainer.examine, smooth, "repeats", "draw from a generator with a seed"),
    (explainer.examine, leaves_gradients, "no trace", "changes .grad"),
    (explainer.examine, leaves_a_mode, "no trace", "changes modes"),
    (explainer.examine, leaves_a_hook, "no trace", "changes hooks"),
    (explainer.examine, leaves_an_option, "no trace", "changes what a module holds"),
    (explainer.examine, leaves_another_module, "no trace", "changes which modules it has"),
    (explainer.examine, leaves_another_forward, "no trace", "changes what a module holds"),
    (explainer.examine, leaves_a_hook_of_a_tensor, "no trace", "changes hooks"),
    (explainer.examine, leaves_other_targets, "no trace", "changes the targets"),
    (explainer.examine, leaves_numpys_state, "no trace", "changes numpy's random state"),
    (explainer.examine, leaves_autograd_off, "no trace", "leaves autograd switched"),
    (explainer.examine, leaves_a_hook_behind_an_error, "after an exception", "changes hooks"),
    (explainer.examine, swallows, "after an exception", "swallows the network's own error"),
    (explainer.examine, without_inference, "in inference", "fails in torch.inference_mode"),
]
WHOLE = [
    (architecture.examine, Net),
    (architecture.examine, StartsAtZero),
    (architecture.examine, Asserting),
    (dataset.examine, Few),
    (schedule.examine, Plain),
    (explainer.examine, gradient),
]


def tried(examine: Callable[..., list[Outcome]], target: Any, ranks: int = 1) -> list[Outcome]:
    return examine(target) if examine is explainer.examine else examine(target, ranks=ranks)


@pytest.mark.parametrize(("examine", "target", "clause", "line"), BROKEN)
def test_a_broken_one_is_told(examine: Callable[..., list[Outcome]], target: Any, clause: str, line: str) -> None:
    said = {outcome.clause: outcome.said for outcome in tried(examine, target) if not outcome.held}
    assert line in said.get(clause, "it holds"), said
    assert "\n" not in said[clause]


@pytest.mark.parametrize(("examine", "target"), WHOLE)
def test_a_whole_one_passes(examine: Callable[..., list[Outcome]], target: Any) -> None:
    assert [outcome for outcome in tried(examine, target) if outcome.held is not True] == []


def clauses() -> set[tuple[Any, str]]:
    tables: list[tuple[Any, Sequence[Clause[Any]]]] = [
        (module.examine, module.CLAUSES) for module in (architecture, dataset, schedule, explainer)
    ]
    return {(examine, clause.name) for examine, table in tables for clause in table}


def test_every_clause_has_one_that_breaks_it() -> None:
    told = {(examine, clause) for examine, _, clause, _ in BROKEN}
    # A thing of another type is told by its annotation, before it is built.
    untold = {(module.examine, "builds") for module in (architecture, schedule)} | {(dataset.examine, "sets up")}
    assert clauses() - told == untold


@pytest.mark.slow
@pytest.mark.parametrize(
    ("examine", "target", "line"),
    [
        (architecture.examine, Spare, "raised"),
        (architecture.examine, Rank, "the ranks begin with different weights"),
        (architecture.examine, ByRank, "the ranks have different logits for one image"),
        (dataset.examine, Undivided, "2 ranks read 6 test images more than once"),
        (dataset.examine, Everything, "train images more than once"),
        (architecture.examine, Net, ""),
        (dataset.examine, Few, ""),
        (schedule.examine, Plain, ""),
    ],
)
def test_on_two_ranks(examine: Callable[..., list[Outcome]], target: Any, line: str) -> None:
    [outcome] = [outcome for outcome in tried(examine, target, ranks=2) if outcome.clause == "two ranks"]
    assert outcome.held is (not line)
    assert line in outcome.said
