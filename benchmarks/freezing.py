"""What a training step costs when part of the network is frozen, against training all of it.

    python benchmarks/freezing.py [--network resnet18] [--batch 16] [--rounds 7] [--threads 1]

A step is forward, loss, backward and SGD with momentum, on random images of 224×224. The contestants take turns within
a round; time is a multiple of ``all`` in the same round: the median of the rounds, the least and the most.

  all        everything learns
  more       the upper half of the convolutions and the head learn: Freezing's policy ``more``
  few        the head alone: policy ``few``
  usual      the head alone, as it is mostly done: no gradient for the rest, which stays in training mode
  forward    the least that there can be: the body under ``no_grad`` in evaluation mode, then the head's step

Memory is what PyTorch's operations hold at the worst moment of a step: every storage that one of them returns counts
from then until it is freed, on top of parameters, buffers, images and the optimizer's state. The process's own peak
says less on a CPU, whose allocators keep what is freed. What one operation takes for itself is not seen.
"""

import argparse
import statistics
import time
import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the field's own name
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from convkit.architectures.resnet import ResNet
from convkit.architectures.timm import Timm
from convkit.callbacks.freeze_plan import frozen_by
from convkit.callbacks.resting import Resting
from convkit.convnet import ConvNet

CLASSES, SHAPE = 10, (3, 224, 224)
NETWORKS: dict[str, Callable[[], ConvNet]] = {
    "resnet18": lambda: ResNet(CLASSES, SHAPE, depth=18),
    "mobilenetv2": lambda: Timm(CLASSES, SHAPE, name="mobilenetv2_100"),
}
FROZEN = {"all": "all", "more": "more", "few": "few", "usual": "few", "forward": "few"}  # by which policy


class Held(TorchDispatchMode):
    """``peak``: the most bytes that were held at once by storages made in the block."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        before = {id(each.untyped_storage()) for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)}
        out = func(*args, **(kwargs or {}))
        for each in tree_leaves(out):
            storage = each.untyped_storage() if isinstance(each, Tensor) else None
            if storage is None or id(storage) in self._known or id(storage) in before:
                continue
            self._known.add(id(storage))
            weakref.finalize(storage, self._freed, id(storage), storage.nbytes())
            self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)
        return out

    def _freed(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


class Contestant:
    """A network of which a part is frozen, and its step."""

    def __init__(self, name: str, network: str, images: Tensor, targets: Tensor) -> None:
        torch.manual_seed(0)
        self.net, self.images, self.targets = NETWORKS[network](), images, targets
        frozen = frozen_by(self.net, FROZEN[name])
        for parameter in frozen:
            self.net.get_parameter(parameter).requires_grad_(False)
        if name != "usual":
            Resting().settle(self.net, frozen)
        self.optimizer = torch.optim.SGD(self.net.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
        self.by_hand = name == "forward"

    def step(self) -> float:
        self.optimizer.zero_grad()
        loss = F.cross_entropy(self._logits(), self.targets)
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def _logits(self) -> Tensor:
        if not self.by_hand:
            logits: Tensor = self.net(self.images)
            return logits
        seen: list[Tensor] = []
        head = self.net.stage("head")
        with torch.no_grad(), head.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0])):
            self.net(self.images)
        again: Tensor = head(seen[0])
        return again

    def peak(self) -> int:
        """Bytes."""
        kept = [*self.net.parameters(), *self.net.buffers(), self.images]
        kept += [value for state in self.optimizer.state.values() for value in state.values() if value is not None]
        self.optimizer.zero_grad()
        with Held() as held:
            self.step()
        return sum(each.untyped_storage().nbytes() for each in kept) + held.peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=[*NETWORKS], default="resnet18")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(1)
    images, targets = torch.randn(options.batch, *SHAPE), torch.randint(0, CLASSES, (options.batch,))
    contestants = {name: Contestant(name, options.network, images, targets) for name in FROZEN}
    losses = {name: [each.step() for _ in range(2)] for name, each in contestants.items()}
    assert losses["few"] == losses["forward"], "the head sees the same features, and learns the same"
    peaks = {name: each.peak() for name, each in contestants.items()}
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(options.rounds):
        for name, each in contestants.items():
            start = time.perf_counter()
            each.step()
            seconds[name].append(time.perf_counter() - start)
    print(f"{options.network}, {options.batch} images, {options.threads} thread(s), {options.rounds} rounds")
    for name in contestants:
        ratios = [mine / full for mine, full in zip(seconds[name], seconds["all"], strict=True)]
        time_of = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"
        memory = f"{peaks[name] / peaks['all']:.2f} ({peaks[name] / 2**20:.0f} MiB)"
        print(f"  {name:8} time {time_of}  memory {memory}", flush=True)


if __name__ == "__main__":
    main()
