"""Each clause of the contract tells the plugin that breaks it, in a sentence with what to do; a whole one passes."""

import random
from typing import Any

import pytest
import torch
import torch.distributed as dist
from telling import assert_told
from torch import Tensor, nn

from convkit import ConvNet
from convkit.convnet import Outputs
from convkit.testing import architecture

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


BROKEN: list[tuple[Any, str, str]] = [
    (5, "target", "the target is a int"),
    (unannotated, "target", "annotate it with -> ConvNet"),
    (Untyped, "target", "width has no type annotation"),
    (Ten, "shapes", "let the last layer have num_classes"),
    (Colour, "shapes", "an image of 1×32×32 is built for and then raises"),
    (Dense, "small image", "an image too small fails in forward only"),
    (Spare, "backward", "spare.weight, spare.bias gets no gradient"),
    (NoHeads, "backward", "Outputs.aux has [] and aux_heads ['early']"),
    (Idle, "backward", "the gradient of spare.weight, spare.bias is 0 throughout"),
    (WideInTraining, "backward", "in training the logits are 4×8 for 4×7"),
    (NarrowHead, "backward", "in training early are 4×3 for 4×7"),
    (PythonsChance, "seed", "a training pass gives other logits under the same seed"),
    (Gregarious, "evaluation", "an image alone has other logits than among others"),
    (Noisy, "evaluation", "draw nothing at random"),
    (Counting, "evaluation", "evaluation changes seen"),
    (Unseeded, "seed", "conv.weight differs under the same seed"),
    (Outside, "state_dict", "other logits after load_state_dict"),
    (Local, "pickling", "cannot be pickled"),
    (Backwards, "stages", "stages are head, conv1 and forward passes conv1, head"),
    (Lost, "stages", "conv1 (conv1) is no module of the network"),
    (Overwritten, "stages", "a later layer overwrites conv1 in place"),
]
WHOLE = [Net, StartsAtZero, Asserting]


@pytest.mark.parametrize(("target", "clause", "line"), BROKEN)
def test_a_broken_one_is_told(target: Any, clause: str, line: str) -> None:
    assert_told(architecture.examine(target, ranks=1), clause, line)


@pytest.mark.parametrize("target", WHOLE)
def test_a_whole_one_passes(target: Any) -> None:
    assert [outcome for outcome in architecture.examine(target, ranks=1) if outcome.held is not True] == []


def test_every_clause_has_one_that_breaks_it() -> None:
    # A thing of another type is told by its annotation, before it is built.
    assert {clause.name for clause in architecture.CLAUSES} - {clause for _, clause, _ in BROKEN} == {"builds"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "line"),
    [
        (Net, ""),
        (Spare, "raised"),
        (Rank, "the ranks begin with different weights"),
        (ByRank, "the ranks have different logits for one image"),
    ],
)
def test_on_two_ranks(target: Any, line: str) -> None:
    [outcome] = [outcome for outcome in architecture.examine(target, ranks=2) if outcome.clause == "two ranks"]
    assert outcome.held is (not line)
    assert line in outcome.said
