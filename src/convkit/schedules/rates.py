"""Learning rates that a resumed fit takes up: their state is what has happened, not the configuration."""

from collections.abc import Callable
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from convkit.errors import UserError


class Resumable:
    """What a policy's state is, and that the optimizer goes on under the options that it is given now.

    An optimizer's own state brings the options of the fit before back: rate, weight decay, momentum. A subclass calls
    ``remember`` before the policy has changed a rate, names its attributes in ``STATE``, and sets the rates of the
    point that it has come to in ``take_up``.
    """

    STATE: tuple[str, ...] = ()
    optimizer: Optimizer

    def remember(self, optimizer: Optimizer) -> None:
        self._given = [
            {key: value for key, value in each.items() if key != "params"} for each in optimizer.param_groups
        ]
        optimizer.register_load_state_dict_pre_hook(same_groups)

    def take_up(self) -> None:
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        return {"optimizer": type(self.optimizer).__name__, **{name: getattr(self, name) for name in self.STATE}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Called once the optimizer has its own state.

        Raises:
            UserError: the state is of another policy, or of another optimizer.
        """
        own = type(self.optimizer).__name__
        if {*state_dict} != {"optimizer", *self.STATE} or state_dict["optimizer"] != own:
            raise UserError(
                "the checkpoint was trained by another schedule than model.schedule; give that one, "
                "or start from the checkpoint's weights with --model.init_from"
            )
        for name in self.STATE:
            setattr(self, name, state_dict[name])
        for group, given in zip(self.optimizer.param_groups, self._given, strict=True):
            group.update(given)
        self.take_up()


def same_groups(optimizer: Optimizer, state_dict: dict[str, Any]) -> None:
    """Refuse the state of other parameter groups: torch counts parameters, and would give one another's momentum.

    Raises:
        UserError: names the groups that the checkpoint has and those that there are.
    """
    before, now = (
        [(group.get("name"), len(group["params"])) for group in groups]
        for groups in (state_dict["param_groups"], optimizer.param_groups)
    )
    if before != now:
        told = [", ".join(f"{name} ({count} parameters)" for name, count in groups) for groups in (before, now)]
        raise UserError(
            f"the checkpoint's parameter groups are {told[0]}, now they would be {told[1]}: "
            "model.schedule.rates and decay stay as they were, or start from its weights with --model.init_from"
        )


class StepRate(Resumable, LRScheduler):
    """A closed form: each group's own rate, times a factor that depends on the step alone.

    Args:
        optimizer: with the groups' own rates.
        factor: of the steps that are done.
        momentum: likewise the momentum itself, where that changes too.
    """

    STATE = ("last_epoch",)

    def __init__(
        self,
        optimizer: Optimizer,
        factor: Callable[[int], float],
        momentum: Callable[[int], float] | None = None,
    ) -> None:
        self.factor, self.momentum = factor, momentum
        self.remember(optimizer)
        super().__init__(optimizer)

    def get_lr(self) -> list[Any]:
        factor = self.factor(self.last_epoch)
        return [base * factor for base in self.base_lrs]

    def step(self, epoch: int | None = None) -> None:
        super().step()
        self._set_momentum()

    def take_up(self) -> None:
        self._last_lr = self.get_lr()
        for group, rate in zip(self.optimizer.param_groups, self._last_lr, strict=True):
            group["lr"] = rate
        self._set_momentum()

    def _set_momentum(self) -> None:
        if self.momentum is not None:
            for group in self.optimizer.param_groups:
                group["momentum"] = self.momentum(self.last_epoch)
