"""Frozen parts in evaluation mode while the rest of the network trains."""

from collections.abc import Collection
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from convkit.convnet import ConvNet
from convkit.parts import parameters_of, parts

Normalisation = nn.modules.batchnorm._NormBase  # batch norm in all its forms, and instance norm


def resting(net: ConvNet, frozen: Collection[str], statistics: bool = False) -> list[str]:
    """Paths of the modules that belong in evaluation mode, where ``frozen`` are the names of parameters.

    A module rests when all parameters in it are frozen, and all modules in it with it. One without any, as dropout or
    stochastic depth, rests with its stage. The network itself never does: it has to know that it trains, for its
    auxiliary heads. Dropout that a network applies by a function in its own ``forward`` follows the module whose
    ``forward`` that is.

    Args:
        net: parameters outside of ``frozen`` that take no gradient have no say.
        frozen: names of parameters.
        statistics: normalisation layers that keep running statistics rest, all of them.
    """
    named = dict(net.named_parameters())
    still = {id(named[name]) for name in frozen}

    def rests(parameters: Collection[nn.Parameter]) -> bool:
        return any(id(each) in still for each in parameters) and not any(each.requires_grad for each in parameters)

    leaves: set[str] = set()
    below = False  # a stage without parameters, such as a pooling, goes with the one below it
    for paths in parts(net).values():
        members = [named[name] for name in parameters_of(net, paths)]
        below = rests(members) if members else below
        leaves.update(paths if below else ())
    found: dict[str, None] = {}
    for path, module in net.named_modules():
        if not path:
            continue
        inside = path.rpartition(".")[0] in found
        members = list(module.parameters())
        smallest = [name for name, each in module.named_modules(prefix=path) if next(each.children(), None) is None]
        idle = rests(members) if members else leaves.issuperset(smallest)
        kept = statistics and isinstance(module, Normalisation) and bool(module.track_running_stats)
        if inside or idle or kept:
            found[path] = None
    return [*found]


class Resting:
    """Keeps modules in evaluation mode, and auxiliary heads that rest from teaching the body."""

    def __init__(self) -> None:
        self._modules: list[nn.Module] = []
        self._hooks: list[RemovableHandle] = []

    def settle(self, net: ConvNet, frozen: Collection[str], statistics: bool = False) -> None:
        """Put to rest what :func:`resting` names, and wake what rested before."""
        self.release()
        paths = resting(net, frozen, statistics)
        self._modules = [net.get_submodule(path) for path in paths]
        silent = [net.get_submodule(path) for path in net.aux_heads.values() if path in paths]
        self._hooks = [head.register_forward_pre_hook(_cut_off) for head in silent]
        self.hold()

    def hold(self) -> None:
        """Before every step: somebody may have called ``train()``. Reading a mode costs next to nothing."""
        for module in self._modules:
            if module.training:
                module.training = False

    def release(self) -> None:
        """Everything in training mode again, and no hook left."""
        for module in self._modules:
            module.training = True
        for hook in self._hooks:
            hook.remove()
        self._modules, self._hooks = [], []


def _cut_off(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    # A head that does not learn may be as it was initialised, and what it would teach the body is noise.
    return tuple(value.detach() if isinstance(value, Tensor) else value for value in inputs)
