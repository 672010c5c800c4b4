"""Freezing by stage or by the amount of data, and thawing while the fit goes on."""

from itertools import pairwise
from typing import Any, Literal

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.strategies import DDPStrategy, DeepSpeedStrategy, SingleDeviceStrategy

from convkit.callbacks.freeze_plan import Plan, Thaw, frozen_by, kinds, make_plan, policy_for, selected
from convkit.callbacks.freeze_words import described, thawing
from convkit.callbacks.replicas import rebuild
from convkit.callbacks.resting import Resting
from convkit.callbacks.stall import Stall
from convkit.classifier import Classifier
from convkit.convnet import ConvNet
from convkit.datasets.base import ImageData
from convkit.datasets.features import FeatureData
from convkit.errors import UserError, did_you_mean
from convkit.parts import HEAD, parameters_of, parts
from convkit.schedules.watch import has_strangers


class Freezing(Callback):
    """Freezes stages of the network, from the start or by a policy, and thaws them by epoch or when validation stalls.

    What is frozen computes what it computes in evaluation, batch norm, dropout and stochastic depth included, and
    keeps its statistics. It takes no gradient, no weight decay and no momentum, has no state in the optimizer, and the
    backward pass ends above it. Auxiliary heads are part of ``body``: frozen ones teach the network nothing.

    A resumed fit: what has thawed stays so, whatever the options are now; the options say what else is frozen and when
    it thaws, at once where that epoch is past.

    Args:
        freeze: stages, ``body`` (all but the head), modules (``layer4.1``) or patterns (``conv*``, ``*.bias``).
        policy: in place of ``freeze``, what learns by the amount of data: ``few``, the classifier alone; ``some``, the
            dense layers too (a network without any: its last convolutional stage); ``more``, the upper half of the
            convolutional stages too; ``all``. ``auto`` chooses by the number of training images a class.
        thaw: after how many epochs which of them thaw: ``{2: [conv5], 4: [body]}``.
        thaw_when_stalled: or one of them at each stall of ``monitor``: ``[conv5, conv4, body]``.
        monitor: the value of a validation to watch; lower is better.
        patience: validations without improvement that are forgiven; the next one is a stall.
        threshold: what counts as an improvement, in the monitor's unit (percent for an error).
        keep_statistics: batch norms that learn normalise by the statistics they came with, and keep them. For weights
            into which batch norm was folded, and for very small batches.
    """

    def __init__(
        self,
        freeze: list[str] | str | None = None,
        policy: Literal["few", "some", "more", "all", "auto"] | None = None,
        thaw: dict[int, list[str] | str] | None = None,
        thaw_when_stalled: list[str] | str | None = None,
        monitor: str = "val/top1_error",
        patience: int = 5,
        threshold: float = 0.0,
        keep_statistics: bool = False,
    ) -> None:
        if (freeze is None) == (policy is None):
            raise ValueError("Freezing wants either freeze, what is frozen from the start, or a policy")
        if thaw and thaw_when_stalled:
            raise ValueError("Freezing thaws either by epochs (thaw) or at stalls (thaw_when_stalled), not by both")
        if patience < 0:
            raise ValueError(f"Freezing.patience is a number of validations and cannot be {patience}")
        self.freeze, self.policy, self.monitor = _listed(freeze), policy, monitor
        self.thaw = {epoch: _listed(names) for epoch, names in (thaw or {}).items()}
        self.thaw_when_stalled = _listed(thaw_when_stalled)
        _check_epochs(list(self.thaw))
        self.keep_statistics = keep_statistics
        self.thawed: list[str] = []  # in the config's words, as they were decided
        self._stall = Stall(patience, threshold)
        self._resting = Resting()
        self._net: ConvNet
        self._own: list[str]  # the parameters that the network lets learn
        self._frozen: frozenset[str]
        self._seen: set[str]  # what the sanity check logged
        self._plan: Plan | None = None
        self._waiting: list[Thaw] = []  # with something to thaw
        self._pending = False  # decided, not done yet

    # -- the plan ------------------------------------------------------------------------------------------------

    def plan(self, net: ConvNet, data: object) -> tuple[Plan, list[str]]:
        """What it freezes in a network and when that thaws; and lines that say what it chose, where it had to.

        Args:
            net: as it is before the fit.
            data: ``auto`` counts its training images; an :class:`ImageData` after ``setup``.

        Raises:
            UserError: an option does not fit the network.
        """
        lines, policy = [], self.policy
        if policy == "auto":
            if not isinstance(data, ImageData):
                raise UserError("Freezing.policy auto counts the images of an ImageData; name a policy")
            images, classes = len(data.labels("train")), data.num_classes
            chosen = policy_for(images, classes)
            lines = [f"policy auto: {images:,} training images, {images / classes:.4g} a class: {chosen}"]
        else:
            chosen = policy or ""
        if chosen == "some" and not kinds(net).dense:
            last = " and ".join(kinds(net).convolutional[-1:]) or "nothing"
            lines.append(f"policy some: {type(net).__name__} has no dense layers below its head, {last} learns instead")
        frozen = frozen_by(net, chosen) if chosen else selected(net, self.freeze, "Freezing.freeze")
        return make_plan(net, frozen, self.thaw, self.thaw_when_stalled), lines

    @property
    def remaining(self) -> Plan:
        """What is frozen now and what of it is to thaw, inside a fit."""
        return Plan(self._frozen, list(self._waiting))

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage != "fit":
            return
        if not isinstance(pl_module, Classifier):
            raise UserError(f"Freezing needs a convkit Classifier, not a {type(pl_module).__name__}")
        strategy = trainer.strategy
        if not isinstance(strategy, SingleDeviceStrategy | DDPStrategy) or isinstance(strategy, DeepSpeedStrategy):
            raise UserError(f"Freezing works on one device or with ddp, not with {type(strategy).__name__}")
        self._net, self.thawed, self._seen = pl_module.net, [], set()
        self._own = [name for name, each in self._net.named_parameters() if each.requires_grad]
        self._plan, lines = self.plan(self._net, trainer.datamodule)  # type: ignore[attr-defined]
        if self.policy != "auto":  # what that chooses nobody can know beforehand
            why = "is frozen for ever by Freezing; thaw it, or leave its rate out"
            pl_module.schedule.refuse_idle_rates(self._net, self._plan.for_ever, why)
        if isinstance(trainer.datamodule, FeatureData):  # type: ignore[attr-defined]
            self._check_features(self._plan)
        self._apply()
        for line in lines:
            pl_module.print(line)

    def _check_features(self, plan: Plan) -> None:
        below = set(self._own) - set(parameters_of(self._net, parts(self._net)[HEAD]))
        if plan.thaws or not below <= plan.frozen:
            raise UserError(
                "features are computed once where nothing but the head learns, and Freezing lets more of it learn; "
                "leave out --cache_features, or give policy few without thaw"
            )

    def _apply(self) -> None:
        """What takes a gradient and what does not. DDP and the optimizer are made after this."""
        self._frozen = self._take_stock()
        for name in self._own:
            parameter = self._net.get_parameter(name)
            parameter.requires_grad_(name not in self._frozen)
            if name in self._frozen:
                parameter.grad = None  # what is left of one would be applied, with weight decay and momentum

    def _take_stock(self) -> frozenset[str]:
        """What is frozen, and which steps wait, after what has thawed."""
        assert self._plan is not None
        still = self._plan.frozen - selected(self._net, self.thawed, "Freezing")
        self._waiting = [thaw for thaw in self._plan.thaws if thaw.parameters & still]
        return still

    # -- the fit -------------------------------------------------------------------------------------------------

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Not sooner: Lightning has looked for modules in evaluation mode by now, and has synchronised batch norms.
        if self.thaw_when_stalled:
            self._check_monitor(trainer, pl_module)
        self._resting.settle(self._net, self._frozen, self.keep_statistics)
        pl_module.print(described(self._net, self._frozen))

    def _check_monitor(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.enable_validation:
            raise UserError(f"Freezing watches {self.monitor!r}, and there is no validation")
        assert isinstance(pl_module, Classifier)
        known = self._seen | set(pl_module.logged_metrics)
        untold = trainer.ckpt_path or (not self._seen and has_strangers(trainer))  # without a sanity check
        if self.monitor not in known and not untold:
            raise UserError(f"Freezing watches {self.monitor!r}, which nothing logs{did_you_mean(self.monitor, known)}")

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        # Between two steps of the optimizer alone: what has gathered some of its gradients does not change.
        if batch_idx % trainer.accumulate_grad_batches == 0:
            for thaw in self._waiting:
                if thaw.after is not None and thaw.after <= trainer.current_epoch:
                    self._thaw(thaw, trainer, pl_module)
            if self._pending:
                self._pending = False
                self._apply()
                self._resting.settle(self._net, self._frozen, self.keep_statistics)
                rebuild(trainer)
        self._resting.hold()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Before the checkpoint of this validation is written: a fit resumed from it begins with the thawed network.
        if trainer.sanity_checking:
            self._seen = set(trainer.callback_metrics) - {"step", "epoch"}
        elif self._waiting and self.thaw_when_stalled:
            if self.monitor not in trainer.callback_metrics:
                raise UserError(f"Freezing watches {self.monitor!r}, which nothing logs")
            stalled = self._stall.judge(float(trainer.callback_metrics[self.monitor]))
            if trainer.strategy.broadcast(stalled):  # one decision for all ranks
                best = f"{self.monitor} has not improved on {self._stall.best:.4g}"
                why = f"{best} in {self._stall.patience + 1} validations: "
                self._thaw(self._waiting[0], trainer, pl_module, why)

    def _thaw(self, thaw: Thaw, trainer: Trainer, pl_module: LightningModule, why: str = "") -> None:
        """Decide it; the next step begins with it."""
        before = self._take_stock()
        self.thawed += thaw.names
        self._pending = True
        after = self._take_stock()
        pl_module.print(f"epoch {trainer.current_epoch + 1}: {why}{thawing(self._net, thaw.names, before, after)}")

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._leave()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._leave()

    def _leave(self) -> None:
        """The network as it was before."""
        if self._plan is None:
            return
        self._resting.release()
        for name in self._own:
            self._net.get_parameter(name).requires_grad_(True)
        self._plan, self._waiting = None, []

    # -- checkpoints ---------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        return {"thawed": list(self.thawed), "stall": self._stall.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Between ``setup`` and the making of DDP and the optimizer, which thus know what has thawed."""
        if self._plan is None:  # a test, say, loads the checkpoint too
            return
        self.thawed = list(state_dict["thawed"])
        self._stall.load_state_dict(state_dict["stall"])
        self._apply()


def _listed(names: list[str] | str | None) -> list[str]:
    return [names] if isinstance(names, str) else list(names or [])


def _check_epochs(epochs: list[int]) -> None:
    for earlier, later in pairwise([0, *epochs]):
        if later < 1:
            raise ValueError(f"Freezing.thaw counts epochs from 1 on, and cannot thaw after {later}")
        if later <= earlier:
            raise ValueError(f"Freezing.thaw goes back from epoch {earlier} to {later}; give the epochs in their order")
