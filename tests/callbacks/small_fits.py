"""Fits of a tenth of a second, for the tests of callbacks: a network with all that freezing has to think of."""

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from convkit import ConvNet, Outputs
from convkit.classifier import Classifier
from convkit.datasets.batches import Split
from convkit.datasets.in_memory import InMemoryData
from convkit.schedules.base import Schedule
from convkit.schedules.plateau import Plateau

SHAPE = (3, 8, 8)
CLASSES = 4


class Small(ConvNet):
    """Two convolutions, two dense layers and an auxiliary head; batch norm and dropout where they are wanted.

    Args:
        num_classes: K.
        image_shape: C, H, W.
        norm: makes a normalisation layer of a number of maps.
        dropout: in front of fc3 and of the head.
    """

    def __init__(
        self,
        num_classes: int,
        image_shape: tuple[int, int, int],
        norm: Any = nn.BatchNorm2d,
        dropout: float = 0.5,
        aux: bool = True,
    ) -> None:
        super().__init__()
        self.stages = {"conv1": "conv1.relu", "conv2": "conv2.relu", "fc3": "classifier.2", "head": "classifier.4"}
        self.conv1, self.conv2 = _unit(image_shape[0], 8, norm), _unit(8, 12, norm)
        self.classifier = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(12, 16), nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, num_classes)
        )
        self.aux = nn.Linear(8, num_classes) if aux else None
        self.aux_heads = {"early": "aux"} if aux else {}

    def forward(self, images: Tensor) -> Tensor | Outputs:
        early = self.conv1(images)
        logits: Tensor = self.classifier(self.conv2(early).mean((2, 3)))
        if self.training and self.aux is not None:
            return Outputs(logits, {"early": self.aux(early.mean((2, 3)))})
        return logits


def _unit(maps_in: int, maps: int, norm: Any) -> nn.Sequential:
    unit = nn.Sequential()
    for name, module in {
        "conv": nn.Conv2d(maps_in, maps, 3, padding=1, stride=2),
        "norm": norm(maps),
        "relu": nn.ReLU(),
    }.items():
        unit.add_module(name, module)
    return unit


class Brightest(InMemoryData):
    """Noise in which the class is the brightest quarter: 64 images to train on, 32 to validate on."""

    num_classes, image_shape, class_names = CLASSES, SHAPE, ["nw", "ne", "sw", "se"]
    mean = std = (0.5, 0.5, 0.5)

    def __init__(self, batch_size: int = 16, val_fraction: float = 0.0, **options: Any) -> None:
        super().__init__(batch_size=batch_size, val_fraction=val_fraction, **options)

    def load(self) -> tuple[Split, Split]:
        random = torch.Generator().manual_seed(3)
        splits = []
        for count in (64, 32):
            images = torch.randint(0, 100, (count, *SHAPE), generator=random)
            targets = torch.arange(count) % CLASSES
            for image, target in zip(images, targets.tolist(), strict=True):
                row, column = divmod(target, 2)
                image[:, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] += 60
            splits.append(Split(images.to(torch.uint8), targets))
        return splits[0], splits[1]


def classifier(schedule: Any = None, **options: Any) -> Classifier:
    """Small, always initialised alike; options are its own."""
    torch.manual_seed(1)

    def build(num_classes: int, image_shape: tuple[int, int, int]) -> Small:
        return Small(num_classes, image_shape, **options)

    return Classifier(build, schedule or Plateau(lr=0.05, patience=1000), num_classes=CLASSES, image_shape=SHAPE)


def trainer(*callbacks: Callback, **options: Any) -> Trainer:
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    settings = {"max_epochs": 1, "accelerator": "cpu", "devices": 1, "logger": False, **quiet, **options}
    return Trainer(callbacks=list(callbacks), **settings)


def fit(model: Classifier, *callbacks: Callback, ckpt_path: Any = None, data: Any = None, **options: Any) -> Trainer:
    made = trainer(*callbacks, **options)
    made.fit(model, data or Brightest(), ckpt_path=ckpt_path, weights_only=True)
    return made


def state(net: nn.Module) -> dict[str, Tensor]:
    """A copy of all parameters and buffers."""
    return {key: value.detach().clone() for key, value in net.state_dict().items()}


def changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    """The names of what is not equal bit for bit."""
    assert before.keys() == after.keys()
    return {key for key in before if not torch.equal(before[key], after[key])}


class Optimizer(Schedule):
    """Any optimizer of torch's at a constant rate."""

    def __init__(self, name: str, **options: Any) -> None:
        super().__init__()
        self.name, self.options = name, options

    def optimizers(self, net: Any, trainer: Trainer) -> OptimizerLRScheduler:
        optimizer: torch.optim.Optimizer = getattr(torch.optim, self.name)(self.param_groups(net), **self.options)
        return optimizer


class Watch(Callback):
    """The network's state before each step and after the last one, and what the optimizer knows after each."""

    def __init__(self) -> None:
        self.states: list[dict[str, Tensor]] = []
        self.with_state: list[set[str]] = []
        self.with_gradient: list[set[str]] = []

    def on_train_batch_start(self, trainer: Trainer, pl_module: Any, *_: Any) -> None:
        self.states.append(state(pl_module.net))

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: Any, *_: Any) -> None:
        self.with_gradient.append({name for name, each in pl_module.net.named_parameters() if each.grad is not None})

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, *_: Any) -> None:
        known = trainer.optimizers[0].state
        self.with_state.append({name for name, each in pl_module.net.named_parameters() if each in known})

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        self.states.append(state(pl_module.net))

    def moved(self, first: int, last: int) -> set[str]:
        return changed(self.states[first], self.states[last])


def keys(model: Any, *modules: str) -> set[str]:
    return {key for key in model.net.state_dict() if key.startswith(tuple(f"{module}." for module in modules))}


class Scripted(Callback):
    """Gives ``val/scripted`` the values of a list, one a validation, which there is every so many epochs."""

    def __init__(self, values: list[float], every: int = 1) -> None:
        self.values, self.every = values, every

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        pl_module.log("val/scripted", self.values[trainer.current_epoch // self.every])
