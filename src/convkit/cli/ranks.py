"""The processes of one job, when one of them fails: the first rank tells the user, once, and ends the others."""

import signal
import sys
import time
from subprocess import Popen

from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch import Trainer

PATIENCE = 15.0  # seconds in which the first rank, with the same error, ends another one before that speaks for itself


def is_first_rank() -> bool:
    return bool(getattr(rank_zero_only, "rank", 0) == 0)


def end_others(trainer: Trainer | None) -> bool:
    """After an error: the first rank kills the processes that it started; another one waits for that.

    Returns whether one of them had failed before: then it has told why, and this rank's error is only that it is gone.
    """
    if not is_first_rank():
        time.sleep(PATIENCE)
        return False
    others: list[Popen[bytes]] = getattr(trainer and trainer.strategy.launcher, "procs", [])
    failed = any(process.poll() for process in others)
    for process in others:
        # SIGTERM is not enough for one that waits for the others
        process.send_signal(signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)
    return failed
