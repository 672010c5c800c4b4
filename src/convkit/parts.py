"""Which parameters belong to a stage of a network, and which ones a name or a pattern in a config selects."""

from collections.abc import Iterable
from fnmatch import fnmatchcase

from torch import nn

from convkit.convnet import ConvNet
from convkit.errors import UserError, did_you_mean

BODY, HEAD = "body", "head"


def parts(net: ConvNet) -> dict[str, list[str]]:
    """The paths of each stage's modules, in forward order; then those of each auxiliary head, by its name.

    A stage is a point of the network. To it belongs what lies behind the stage before, up to that point, in the order
    in which the modules were registered; to ``head`` its own module alone. What lies between belongs to the stage
    below, as a last normalisation does. Only modules that hold parameters or buffers of their own, or no other
    module, are listed: each once.
    """
    leaves = [path for path, module in net.named_modules() if _is_leaf(module)]
    body = {path: name for name, path in net.stages.items() if name != HEAD}
    last = {name: max((i for i, leaf in enumerate(leaves) if _within(leaf, path)), default=-1)
            for path, name in body.items()}  # fmt: skip
    owners = {**net.aux_heads, **net.stages}
    found: dict[str, list[str]] = {name: [] for name in [*net.stages, *net.aux_heads]}
    for index, leaf in enumerate(leaves):
        inside = [name for name, path in owners.items() if _within(leaf, path)]
        if inside:
            owner = max(inside, key=lambda name: len(owners[name]))  # of nested ones the innermost
        elif last:
            owner = next((name for name, end in last.items() if end > index), [*last][-1])
        else:
            continue  # no stage but the head: body all the same
        found[owner].append(leaf)
    return found


def parameters_of(net: ConvNet, modules: Iterable[str]) -> list[str]:
    """The names of the parameters that these modules hold themselves."""
    wanted = set(modules)
    return [name for name, _ in net.named_parameters() if name.rpartition(".")[0] in wanted]


def select(net: ConvNet, name: str, option: str) -> list[str]:
    """The names of the parameters that ``name`` stands for.

    ``head``, ``body`` (all else, but for auxiliary heads), a stage or an auxiliary head, a pattern of stages
    (``conv*``), a module's path (``layer4.1``), or a pattern of parameters' names (``*.bias``): the first that fits.

    Raises:
        UserError: it fits none, or nothing with a parameter; names ``option`` and the nearest stage.
    """
    of_stage = parts(net)
    every = [each for each, _ in net.named_parameters()]
    if name == BODY:
        others = {*parameters_of(net, of_stage.get(HEAD, [])), *_of_aux(net, of_stage)}
        found = [each for each in every if each not in others]
    elif stages := [stage for stage in of_stage if stage == name] or [s for s in of_stage if fnmatchcase(s, name)]:
        found = parameters_of(net, [path for stage in stages for path in of_stage[stage]])
    else:
        found = [each for each in every if _within(each, name)] or [each for each in every if fnmatchcase(each, name)]
    if not found:
        choices = [HEAD, BODY, *of_stage]
        raise UserError(
            f"{option}: {name!r} is no stage, module or parameter of {type(net).__name__}{did_you_mean(name, choices)}"
        )
    return found


def _of_aux(net: ConvNet, of_stage: dict[str, list[str]]) -> list[str]:
    return parameters_of(net, [path for head in net.aux_heads for path in of_stage[head]])


def _is_leaf(module: nn.Module) -> bool:
    own = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
    return bool(own) or next(module.children(), None) is None


def _within(path: str, parent: str) -> bool:
    return path == parent or path.startswith(f"{parent}.")
