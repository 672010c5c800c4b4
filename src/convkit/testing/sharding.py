"""Whether the ranks of a fit divide a data set's images among them."""

import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from convkit.testing.contract import demand
from convkit.testing.ranks import on_ranks

SPLITS = ("train", "val", "test")
WAY = "divide by the trainer's global_rank and world_size, as InMemoryData does"
QUIET: dict[str, Any] = {
    "accelerator": "cpu", "logger": False, "enable_progress_bar": False, "enable_model_summary": False,
    "enable_checkpointing": False, "num_sanity_val_steps": 0, "max_epochs": 1,
}  # fmt: skip
Read = dict[str, list[int]]  # of a split: a fingerprint and a class an image, the size of each batch, the asked one


def divided(factory: Any, options: Mapping[str, Any], ranks: int) -> None:
    """Hold what several ranks read against what one does.

    Raises:
        Failure: an image is read by several of them, or by none.
    """
    (alone,) = on_ranks(1, read_all, factory, dict(options), 1)
    parts = on_ranks(ranks, read_all, factory, dict(options), ranks)
    for split in SPLITS:
        _compare(split, alone[split], [part[split] for part in parts])


def _compare(split: str, alone: Read, parts: Sequence[Read]) -> None:
    ranks, beyond = len(parts), _dropped(alone) if split == "train" else 0
    counts = sorted({len(part["sizes"]) for part in parts})
    demand(len(counts) == 1, f"{ranks} ranks make {counts} {split} steps; give each as many, or they wait for ever")
    wanted, found = Counter(alone["images"]), Counter(each for part in parts for each in part["images"])
    if (wanted & found).total() * 2 < min(wanted.total(), found.total()):
        # Augmented otherwise by each rank, the images are others: their classes are not.
        wanted, found = Counter(alone["classes"]), Counter(each for part in parts for each in part["classes"])
        extra = max((found - wanted).total() - beyond, 0)
    else:
        extra = sum(max(count - max(wanted[image], 1), 0) for image, count in found.items())
        new = sum(1 for image in found if image not in wanted)
        demand(new <= beyond, f"{ranks} ranks read {new} {split} images that one alone does not read; {WAY}")
    missing = (wanted - found).total()
    told = f"{ranks} ranks read {extra} {split} images more than once"
    demand(extra < ranks, f"{told}; {WAY}")
    spare = sum(_dropped(part) for part in parts) if split == "train" else 0
    demand(missing <= spare, f"{ranks} ranks leave out {missing} of {wanted.total()} {split} images; {WAY}")


def _dropped(read: Read) -> int:
    """How many images there may be beyond those that were read, as a last batch that was not whole is left out."""
    size = max(read["sizes"], default=1)
    asked = read["asked"][0]
    # A batch that is not whole shows that none is left out; so does one that could not hold more.
    return size - 1 if len({*read["sizes"]}) == 1 and not 0 < size * len(read["sizes"]) < asked else 0


class _Reader(LightningModule):
    """Learns nothing, and notes what comes by."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.read: Read = {"images": [], "classes": [], "sizes": [], "asked": [0]}

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        self.note(batch)
        return self.weight * 0

    def validation_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        self.note(batch)

    test_step = validation_step

    def note(self, batch: tuple[Tensor, Tensor]) -> None:
        images, targets = batch
        self.read["images"] += [zlib.crc32(image.contiguous().numpy().tobytes()) for image in images]
        self.read["classes"] += targets.tolist()
        self.read["sizes"].append(len(targets))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def read_all(factory: Any, options: Mapping[str, Any], ranks: int) -> dict[str, Read]:
    """What this process reads of an epoch of each split, as one of so many ranks."""
    found = {}
    several: dict[str, Any] = {"devices": ranks, "strategy": "ddp"} if ranks > 1 else {"devices": 1}
    for split in SPLITS:
        data, module = factory(**options), _Reader()
        module.read["asked"] = [int(getattr(data, "batch_size", 0) or 0)]
        trainer = Trainer(**QUIET, **several, limit_val_batches=0 if split == "train" else None)
        if split == "train":
            trainer.fit(module, datamodule=data)
        else:
            (trainer.validate if split == "val" else trainer.test)(module, datamodule=data, verbose=False)
        found[split] = module.read
    return found
