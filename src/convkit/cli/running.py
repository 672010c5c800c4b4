"""A request from start to exit status: how each way to end is told, and what is left of the run."""

import sys
from pathlib import Path
from typing import Any

from lightning.fabric.utilities.exceptions import MisconfigurationException

from convkit import plugins
from convkit.callbacks.interruption import Interrupted, StoppedAtOnce
from convkit.cli.lightning_cli import TrainingCLI
from convkit.cli.names import Names
from convkit.cli.quiet import quiet
from convkit.cli.ranks import end_others, is_first_rank
from convkit.cli.request import Request
from convkit.cli.reserved import Reserved
from convkit.cli.resume import resume
from convkit.errors import UserError
from convkit.targets import refuse_other


def prepare(request: Request) -> tuple[Path | None, dict[str, Any] | None]:
    """The checkpoint to go on from, and the configuration in it; every plugin that is named can be loaded."""
    quiet()
    checkpoint, resumed = resume(request)
    names = Names()
    names.in_config(resumed or {})
    for plugin in [*names.chosen.values(), *request.plugins]:
        refuse_other(plugin, plugins.load(plugin))  # for its own error message, before the parser would wrap it
    return checkpoint, resumed


def run(request: Request) -> int:
    """Parse, build and run; the exit status."""
    checkpoint, resumed = prepare(request)
    reserved = Reserved()
    try:
        TrainingCLI(request, resumed, checkpoint, reserved)
    except Interrupted as stopped:
        reserved.finish(128 + stopped.signum)
        if is_first_rank():
            print(f"stopped by {stopped}; go on with\n  convkit fit --ckpt_path {stopped.checkpoint}")
            return 128 + stopped.signum
        return 0  # Lightning kills the first rank when another ends with an error
    except StoppedAtOnce as stopped:
        end_others(reserved.trainer)
        reserved.discard()
        print(f"stopped by {stopped}", file=sys.stderr)
        return 128 + stopped.signum
    except SystemExit as stopped:
        reserved.discard()
        if isinstance(stopped.__context__, KeyboardInterrupt):  # Lightning's way to end after it
            raise KeyboardInterrupt from None
        return int(stopped.code or 0)  # 0 after help and --print_config
    except (UserError, MisconfigurationException) as error:
        end_others(reserved.trainer)
        reserved.discard()
        raise UserError(" ".join(str(error).split())) from error
    except BaseException:
        told = end_others(reserved.trainer)
        reserved.discard()
        if told:
            return 2
        raise
    reserved.finish()
    return 0
