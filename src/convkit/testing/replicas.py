"""Whether a network is the same one on every rank."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from convkit.convnet import as_outputs
from convkit.testing.contract import demand
from convkit.testing.ranks import on_ranks

Shape = tuple[int, int, int]
CLASSES = 7


def agree(ranks: int, factory: Any, options: Mapping[str, Any], shape: Shape) -> None:
    """Hold what the ranks have after two steps on images of their own against each other.

    Raises:
        Failure: they differ, or one raised.
    """
    found: list[dict[str, list[float]]] = on_ranks(ranks, train, factory, dict(options), shape)
    for name, way in (
        ("weights", "the ranks begin with different weights; draw none by rank"),
        ("gradients", "the ranks have different gradients after a step; let no parameter be out of DDP's sight"),
        ("logits", "the ranks have different logits for one image; let forward depend on no rank"),
    ):
        values = torch.tensor([each[name] for each in found])
        near = torch.allclose(values, values[:1].expand_as(values), rtol=1e-4, atol=1e-6, equal_nan=True)
        demand(near, way)


def train(factory: Any, options: Mapping[str, Any], shape: Shape) -> dict[str, list[float]]:
    """On this rank: sums of the weights at the start and of the gradients after two steps, the logits of one image."""
    dist.init_process_group("gloo")
    net = factory(CLASSES, shape, **options)
    weights = [float(each.detach().double().sum()) for each in net.parameters()]
    replica, gradients = DistributedDataParallel(net), list[float]()
    draw = torch.Generator().manual_seed(dist.get_rank())
    for _ in range(2):
        outputs = as_outputs(replica(torch.randn(2, *shape, generator=draw)))
        sum(logits.square().sum() for logits in (outputs.logits, *outputs.aux.values())).backward()  # type: ignore[union-attr]
        gradients = [float(each.grad.double().sum()) for each in replica.parameters() if each.grad is not None]
        replica.zero_grad()
    with torch.no_grad():
        # Batch norm's own statistics are each rank's.
        for module in net.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.reset_running_stats()
        logits = net.eval()(torch.ones(1, *shape))
    return {"weights": weights, "gradients": gradients, "logits": logits.flatten().tolist()}
