"""How a network is optimised: parameter groups, optimizer, learning-rate policy, and the loss."""

from abc import ABC, abstractmethod
from collections.abc import Collection
from math import inf, nextafter
from typing import Any, Literal

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the field's own name

from convkit.convnet import ConvNet, Outputs
from convkit.errors import UserError
from convkit.parts import select
from convkit.schedules.averaging import Averaging
from convkit.schedules.mixing import mixing

ALL, OTHER = "all", "other"

# What an option may be: least, most, and what it is.
_RANGES = {
    "lr": (0, inf, "a learning rate, at least 0,"),
    "weight_decay": (0, inf, "a share of the weights, at least 0,"),
    "label_smoothing": (0, 1, "a share from 0 to 1"),
    "mixup": (0, inf, "the α of a distribution, at least 0,"),
    "cutmix": (0, inf, "the α of a distribution, at least 0,"),
    "ema": (0, nextafter(1, 0), "a share from 0 up to 1"),
}


class Schedule(ABC):
    """A recipe: one object, its constructor's arguments the configuration.

    A subclass that leaves ``lr`` and ``weight_decay`` at None gives them to its optimizer itself.

    Args:
        aux_weight: what an auxiliary head's loss counts beside the main one (0.3 in Szegedy et al. 2015, §5), or by the
            head's name; a head that is not named there counts nothing.
        lr: the learning rate, of what ``rates`` leaves.
        weight_decay: of the optimizer.
        decay: what decays: ``all``, or ``weights`` only, which leaves out biases and normalisation: every parameter
            with one dimension or none, and those that are called bias.
        rates: other learning rates, by ``body``, ``head``, a stage, or a pattern; of several the last that fits.
        label_smoothing: share of the target that is spread over all classes (Szegedy et al. 2016, §7).
        mixup: α of mixup, images and labels blended in pairs (Zhang et al. 2018); 0 is without.
        cutmix: α of CutMix, a rectangle from another image (Yun et al. 2019); of both, one is tossed for each batch.
        ema: share that an average of the weights keeps at each step; evaluation and what is kept have that average.
    """

    # Also for a subclass whose constructor does not call this one.
    aux_weight: float | dict[str, float] = 0.3
    lr: float | None = None
    weight_decay: float | None = None
    decay: Literal["all", "weights"] = "all"
    rates: dict[str, float] | None = None
    label_smoothing: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    ema: float | None = None

    def __init__(
        self,
        aux_weight: float | dict[str, float] = 0.3,
        lr: float | None = None,
        weight_decay: float | None = None,
        decay: Literal["all", "weights"] = "all",
        rates: dict[str, float] | None = None,
        label_smoothing: float = 0.0,
        mixup: float = 0.0,
        cutmix: float = 0.0,
        ema: float | None = None,
    ) -> None:
        self.aux_weight, self.lr, self.weight_decay, self.decay, self.rates = aux_weight, lr, weight_decay, decay, rates
        self.label_smoothing, self.mixup, self.cutmix, self.ema = label_smoothing, mixup, cutmix, ema
        for name, (least, most, what) in _RANGES.items():
            value = getattr(self, name)
            if value is not None and not (least <= value <= most and value < inf):
                raise ValueError(f"model.schedule.{name} is {what} and cannot be {value}")
        for name, given in (("rates", rates), ("aux_weight", aux_weight)):
            by_name = given if isinstance(given, dict) else {"": given or 0.0}
            for key, value in by_name.items():
                if not 0 <= value < inf:
                    place = f"model.schedule.{name}.{key}" if key else f"model.schedule.{name}"
                    raise ValueError(f"{place} is a number, at least 0, and cannot be {value}")

    @abstractmethod
    def optimizers(self, net: ConvNet, trainer: Trainer) -> OptimizerLRScheduler:
        """What Lightning's ``configure_optimizers`` returns."""

    def param_groups(self, net: ConvNet) -> list[dict[str, Any]]:
        """Groups for the optimizer, made at the start: every parameter in one of them, the frozen ones too.

        A group's ``name`` is its key in ``rates``, ``other`` for what they leave, ``all`` without: its rate is logged
        as ``lr/<name>``. Where only weights decay, a name has two groups.

        Raises:
            UserError: a key of ``rates`` selects nothing, or nothing that later keys leave; no such auxiliary head.
        """
        self._weigh(net.aux_heads)
        named = dict(net.named_parameters())
        owner = dict.fromkeys(named, OTHER if self.rates else ALL)
        for key in self.rates or {}:
            owner |= dict.fromkeys(select(net, key, "model.schedule.rates"), key)
        groups = []
        for key, rate in [*(self.rates or {}).items(), (OTHER if self.rates else ALL, self.lr)]:
            members = [name for name in named if owner[name] == key]
            if not members and key in (self.rates or {}):
                raise UserError(f"model.schedule.rates: later keys take all of {key!r}; put it after them")
            for decays in (True, False):
                own = [named[name] for name in members if self._decays(name, named[name]) == decays]
                options = {"lr": rate, "weight_decay": self.weight_decay if decays else 0.0}
                given = {option: value for option, value in options.items() if value is not None}
                groups += [{"name": key, "params": own, **given}] if own else []
        return groups

    def refuse_idle_rates(self, net: ConvNet, never: Collection[str], why: str) -> None:
        """A rate of its own for what never learns is a mistake.

        Args:
            net: the network.
            never: names of the parameters that never learn.
            why: ends the message, with the way out.

        Raises:
            UserError: nothing that a key of ``rates`` counts for ever learns; of several keys the last one counts.
        """
        owner = {each: key for key in self.rates or {} for each in select(net, key, "model.schedule.rates")}
        for key in dict.fromkeys(owner.values()):
            if all(each in never for each in owner if owner[each] == key):
                raise UserError(f"model.schedule.rates: {key!r} {why}")

    def _decays(self, name: str, parameter: Tensor) -> bool:
        return self.decay == "all" or (parameter.ndim > 1 and not name.endswith("bias"))

    def mixed(self, images: Tensor, targets: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
        """A training batch on its way to the network: as it is, or mixed, with N×K probabilities for targets.

        Draws from torch's default generator, which the Classifier seeds by seed, step and rank.
        """
        if not (self.mixup or self.cutmix):
            return images, targets
        mixed: tuple[Tensor, Tensor] = mixing(self.mixup, self.cutmix, num_classes)(images, targets)
        return mixed

    def losses(self, outputs: Outputs, targets: Tensor) -> dict[str, Tensor]:
        """Mean cross-entropy over the batch: ``"loss"`` is minimised, ``"aux/<head>"`` are the heads' own curves.

        Args:
            outputs: of the network.
            targets: N class indices, or N×K probabilities.

        Raises:
            UserError: ``aux_weight`` names a head that is not in ``outputs``.
        """
        weights = self._weigh(outputs.aux)
        loss = self._loss(outputs.logits, targets)
        heads = {name: self._loss(logits, targets) for name, logits in outputs.aux.items()}
        for name, value in heads.items():
            loss = loss + weights[name] * value  # 0 too: DDP wants a gradient for every parameter
        return {"loss": loss, **{f"aux/{name}": value for name, value in heads.items()}}

    def _loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(logits, targets, label_smoothing=self.label_smoothing)

    def _weigh(self, heads: Any) -> dict[str, float]:
        """What each of these auxiliary heads counts."""
        if not isinstance(self.aux_weight, dict):
            return dict.fromkeys(heads, self.aux_weight)
        for name in self.aux_weight:
            if name not in heads:
                known = ", ".join(heads) or "none"
                raise UserError(f"model.schedule.aux_weight: {name!r} is no auxiliary head of the network: {known}")
        return {name: self.aux_weight.get(name, 0.0) for name in heads}

    def callbacks(self) -> list[Callback]:
        """What else the recipe does while it trains: Lightning's callbacks."""
        return [] if self.ema is None else [Averaging(self.ema)]
