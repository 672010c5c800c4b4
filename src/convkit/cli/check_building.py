"""``convkit check`` once torch is there: what ``fit`` would build, without a run, looked at instead of trained."""

import contextlib
import json
import sys
from pathlib import Path
from typing import Any

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback
from lightning.pytorch.loggers import Logger

from convkit.cli.check_json import as_plain
from convkit.cli.check_text import as_text
from convkit.cli.dropped import dropped
from convkit.cli.lightning_cli import TrainingCLI
from convkit.cli.request import Request
from convkit.cli.reserved import Reserved
from convkit.cli.running import prepare
from convkit.errors import UserError
from convkit.preview.outlook import Outlook, look


def run(request: Request, as_json: bool) -> int:
    """Parse, build and look; the exit status."""
    try:
        # What data sets and weights say of themselves is no part of the object.
        with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
            checkpoint, resumed = prepare(request)
            outlook = PreviewCLI(request, resumed, checkpoint, Reserved()).outlook
    except SystemExit as stopped:  # after help and --print_config
        return int(stopped.code or 0)
    except (UserError, MisconfigurationException) as error:
        raise UserError(" ".join(str(error).split())) from error
    if as_json:
        print(json.dumps(as_plain(outlook), indent=1))
    else:
        print("\n".join(as_text(outlook)))
    sys.stdout.flush()
    for line in outlook.problems:
        print(f"convkit: error: {line}", file=sys.stderr)
    return 2 if outlook.problems else 0


class PreviewCLI(TrainingCLI):
    """``fit`` with the same words and the same mistakes, but for the fit: ``outlook`` is what it would do."""

    outlook: Outlook

    def parse_arguments(self, parser: Any, args: Any) -> None:
        super().parse_arguments(parser, args)
        settings = self.config[self.request.command].trainer
        settings.logger = settings.profiler = None  # those that are given might write when they are made

    def _allocate(self) -> Any:
        """No run."""

    def _save_config(self, directory: Path) -> None:
        """Not written."""

    def _callbacks(self, settings: Any, given: list[Callback], folder: Path) -> list[Callback]:
        return []

    def _loggers(self, given: Any, folder: Path) -> list[Logger]:
        return []

    def before_fit(self) -> None:
        """Nothing is printed before all is known."""

    def fit(self, model: Any, datamodule: Any, **options: Any) -> None:
        """What LightningCLI calls in place of ``Trainer.fit``."""
        self.outlook = look(self.trainer, model, datamodule, self.checkpoint)
        self.outlook.notes += dropped(self.request.configs, self.plain)

    def after_fit(self) -> None:
        """Nothing is left of it."""
