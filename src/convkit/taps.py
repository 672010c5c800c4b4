"""See what the stages of a network put out, inside a ``with`` block; the hooks always come off."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from fnmatch import fnmatchcase

from torch import Tensor

from convkit.convnet import ConvNet
from convkit.errors import UserError, did_you_mean
from convkit.parts import HEAD


@contextmanager
def taps(net: ConvNet, stages: Iterable[str], act: Callable[[str, Tensor], None]) -> Iterator[None]:
    """Call ``act(stage, output)`` whenever the network has computed one of these stages; maps are N×C×H×W.

    Raises:
        ValueError: there is no such stage.
    """
    with ExitStack() as stack:
        for stage in stages:

            def see(module: object, inputs: object, output: Tensor, stage: str = stage) -> None:
                act(stage, net.maps(stage, output))

            stack.callback(net.stage(stage).register_forward_hook(see).remove)
        yield


def chosen_stages(net: ConvNet, names: Iterable[str] | None, option: str) -> list[str]:
    """The stages that names or patterns (``conv*``) stand for, in forward order; all but the head without any.

    Raises:
        UserError: a name fits no stage, or there is none; names ``option`` and the nearest stage.
    """
    if names is None:
        return [stage for stage in net.stages if stage != HEAD]
    wanted = list(names)
    if not wanted or not all(wanted):
        raise UserError(f"{option} is empty; {type(net).__name__} has {', '.join(net.stages)}")
    found = set()
    for name in wanted:
        fitting = [stage for stage in net.stages if stage == name] or [s for s in net.stages if fnmatchcase(s, name)]
        if not fitting:
            raise UserError(f"{option}: {type(net).__name__} has no stage {name!r}{did_you_mean(name, net.stages)}")
        found.update(fitting)
    return [stage for stage in net.stages if stage in found]
