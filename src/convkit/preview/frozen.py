"""Which parameters learn, and from when on: what the network, ``Freezing`` and cached features decide together."""

import contextlib
import io
from collections.abc import Iterator
from typing import Any, NamedTuple

from lightning.pytorch import Trainer

from convkit.callbacks.freeze_plan import Plan
from convkit.callbacks.freeze_words import described
from convkit.callbacks.freezing import Freezing
from convkit.callbacks.resting import Resting
from convkit.classifier import Classifier
from convkit.convnet import ConvNet
from convkit.datasets.base import ImageData
from convkit.datasets.features import FeatureData
from convkit.parts import HEAD
from convkit.preview.problems import Problems
from convkit.preview.start import images_of

START, NEVER = "start", "never"


class Frozen(NamedTuple):
    """``plan`` of a ``Freezing`` callback, what the network itself never lets learn, and ``lines`` for people."""

    plan: Plan
    own: frozenset[str]
    lines: list[str]
    chosen: bool = False  # by the number of images
    keep_statistics: bool = False

    @property
    def for_ever(self) -> frozenset[str]:
        return self.plan.for_ever | self.own

    def everything(self, net: ConvNet) -> bool:
        """Nothing ever learns."""
        return self.for_ever.issuperset(name for name, _ in net.named_parameters())

    def from_when(self, parameter: str) -> str:
        """``start``, ``epoch 3``, ``stall 1`` or ``never``."""
        if parameter in self.for_ever:
            return NEVER
        return self.plan.until(parameter) or START


def frozen(
    trainer: Trainer, model: Classifier, data: ImageData, contents: dict[str, Any] | None, problems: Problems
) -> Frozen:
    """Sets up what freezes, as a fit would: call it before there is an optimizer.

    Args:
        trainer: whose callbacks freeze.
        model: whose network they freeze.
        data: what it would be trained on.
        contents: of the checkpoint that the fit would go on from, where some of it may have thawed.
        problems: gets what does not fit.
    """
    net = model.net
    lines: list[str] = []
    if isinstance(data, FeatureData):  # as the model's own setup does it
        net.requires_grad_(False)
        net.stage(HEAD).requires_grad_(True)
        lines.append("the classifier alone learns, on features computed once")
    own = frozenset(name for name, each in net.named_parameters() if not each.requires_grad)
    found = Frozen(Plan(frozenset(), []), own, lines)
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, Freezing):
            with problems.gathered():
                plan, chosen = callback.plan(net, images_of(data))
                trainer.datamodule = data  # type: ignore[attr-defined]
                with contextlib.redirect_stdout(io.StringIO()):  # it prints these lines
                    callback.setup(trainer, model, "fit")
                if state := (contents or {}).get("callbacks", {}).get(callback.state_key):
                    callback.load_state_dict(state)
                    plan = callback.remaining
                lines += [*chosen, described(net, plan.frozen), *_thaws(plan, trainer.max_epochs)]
                found = Frozen(plan, own, lines, callback.policy == "auto", callback.keep_statistics)
    trainer.datamodule = images_of(data)  # type: ignore[attr-defined]
    if found.everything(net):
        problems.add(f"nothing learns: every parameter of {type(net).__name__} is frozen")
    return found


def _thaws(plan: Plan, epochs: int | None) -> Iterator[str]:
    for number, thaw in enumerate(plan.thaws, 1):
        when = f"at stall {number}" if thaw.after is None else f"after epoch {thaw.after}"
        late = thaw.after is not None and epochs is not None and 0 < epochs <= thaw.after
        yield f"thawing {when}: {', '.join(thaw.names)}" + (f"; the fit ends before, at epoch {epochs}" if late else "")


@contextlib.contextmanager
def thawed(net: ConvNet, found: Frozen) -> Iterator[None]:
    """Inside, the network is in its last phase: everything that ever learns does so, the rest is at rest."""
    for name, parameter in net.named_parameters():
        parameter.requires_grad_(name not in found.for_ever)
    net.train()
    resting = Resting()
    resting.settle(net, found.for_ever, found.keep_statistics)
    try:
        yield
    finally:
        resting.release()
