"""The momentum of stochastic gradient descent, which several recipes share."""


def check_momentum(momentum: float, nesterov: bool = False) -> None:
    """Refuse what torch would, when the fit is about to begin.

    Raises:
        ValueError: no share, or Nesterov's momentum without momentum.
    """
    if not 0 <= momentum < 1:
        raise ValueError(f"model.schedule.momentum is a share from 0 up to 1 and cannot be {momentum}")
    if nesterov and not momentum:
        raise ValueError("model.schedule.nesterov needs a momentum above 0")
