"""LightningCLI with convkit's contracts: short names are replaced, runs are directories, errors are one line."""

import json
from pathlib import Path
from typing import Any, Literal

import yaml
from jsonargparse import ArgumentError
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import CSVLogger, Logger, WandbLogger

from convkit.callbacks.checkpoints import BestCheckpoint, LastCheckpoint
from convkit.callbacks.evaluation import EvaluationPages
from convkit.callbacks.feature_evolution import FeatureEvolution  # noqa: F401 - found by its bare name
from convkit.callbacks.first_filters import FirstFilters
from convkit.callbacks.freezing import Freezing  # imported, it can be named by its class alone
from convkit.callbacks.gradient_norms import GradientNorms  # noqa: F401 - found by its bare name
from convkit.callbacks.interruption import Interruption
from convkit.callbacks.predictions import Predictions
from convkit.callbacks.progress import Progress
from convkit.callbacks.record import Record
from convkit.callbacks.skipped import Skipped
from convkit.callbacks.speed import Speed
from convkit.callbacks.state import StateFile
from convkit.callbacks.unprofiled import Unprofiled
from convkit.classifier import Classifier
from convkit.cli.dropped import dropped
from convkit.cli.parse_errors import one_line
from convkit.cli.ranks import is_first_rank
from convkit.cli.request import Request
from convkit.cli.reserved import Reserved
from convkit.cli.resume import OWN, tell_differences
from convkit.cli.summary import tell_evaluation, tell_fit
from convkit.datasets.base import ImageData
from convkit.datasets.features import FeatureData
from convkit.errors import UserError
from convkit.run import link_data_to_model
from convkit.run_directory import CHECKPOINTS, CONFIG, allocate
from convkit.tracking.going_on import to_go_on_with
from convkit.tracking.sparing import spare
from convkit.tracking.weights_and_biases import keep, start, watch_minima
from convkit.weights import read_checkpoint

MONITOR = "val/top1_error"


class TrainingCLI(LightningCLI):
    """One command, parsed, built and run."""

    def __init__(
        self, request: Request, resumed: dict[str, Any] | None, checkpoint: Path | None, reserved: Reserved
    ) -> None:
        self.request, self.resumed, self.checkpoint, self.reserved = request, resumed, checkpoint, reserved
        strict = {"exit_on_error": False, "allow_abbrev": False}
        base = [{key: value for key, value in resumed.items() if key not in OWN}] if resumed else []
        words = [f"--config={json.dumps(config)}" for config in [*base, *request.configs]]
        super().__init__(
            Classifier,
            ImageData,
            save_config_callback=None,  # Record and save_config write it, into a directory of its own
            subclass_mode_data=True,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
            seed_everything_default=0,
            trainer_defaults={"enable_model_summary": False},  # a page of its own before every fit; inspect has it
            parser_kwargs={**strict, **{command: dict(strict) for command in self.subcommands()}},
            args=[request.command, *words, *request.words],
        )

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        skipped = LightningCLI.subcommands()
        # Checkpoints are always loaded with weights_only=True; there is no option to choose otherwise.
        # Without "verbose" Lightning prints no table of its own: the command's last lines have the figures. Without
        # "return_predictions" it keeps none: the file has them.
        return {command: {*skip, "weights_only", "verbose", "return_predictions"} for command, skip in skipped.items()}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        link_data_to_model(parser)
        parser.add_argument("--name", type=str | None, default=None, help="name of the run; the config's by default")
        parser.add_argument("--runs", type=str, default="runs", help="folder of the runs")
        parser.add_argument("--tags", type=list[str], default=[], help="words to find the run by")
        parser.add_argument(
            "--wandb", type=Literal["off", "offline", "online"], default="offline", help="Weights & Biases"
        )
        parser.add_argument("--wandb_project", type=str, default="convkit", help="project in Weights & Biases")
        parser.add_argument(
            "--wandb_checkpoint", type=bool, default=False, help="the best checkpoint as an artifact of the W&B run"
        )
        parser.add_argument(
            "--cache_features", type=bool, default=False, help="train the classifier alone, on features computed once"
        )
        parser.add_argument("--test_at_end", type=bool, default=False, help="after fit, test the best checkpoint")

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        try:
            self.config = parser.parse_args(args)
        except ArgumentError as error:
            raise self._explained(error) from error
        config = self.config[self.request.command]
        if config.data is None:
            raise UserError("no data is chosen; give --data NAME, such as --data digits, or a --config")
        if self.request.command != "fit" and not self.checkpoint and not config.model.init_from:
            raise UserError(f"{self.request.command} needs weights; give --ckpt_path RUN or --model.init_from FILE")
        if self.request.command == "fit" and config.model.schedule is None:
            raise UserError(
                "fit needs model.schedule; give --model.schedule, or a --config such as --config quickstart"
            )
        if config.name and (Path(config.name).name != config.name or config.name.startswith(".")):
            raise UserError(f"--name is the name of a folder under {config.runs}, and cannot be {config.name!r}")
        config.name = config.name or self.request.default_name or (self.resumed or {}).get("name") or self._own_name()
        config.ckpt_path = str(self.checkpoint) if self.checkpoint else None

    def _explained(self, error: Exception) -> UserError:
        command = self.request.command
        options = self._subcommand_parsers[command].get_defaults(skip_validation=True).keys()
        return UserError(one_line(str(error), command, [*options, "print_config", "help-all"]))

    def _own_name(self) -> str:
        config = self.config[self.request.command]
        architecture = config.model.architecture
        paths = (getattr(architecture, "class_path", architecture), config.data.class_path)
        return "-".join(str(path).rpartition(".")[2].lower() for path in paths)

    def _parse_ckpt_path(self) -> None:
        """Lightning would let the checkpoint's values win over the command line's; ours are under them already."""

    def instantiate_classes(self) -> None:
        config = self.config[self.request.command]
        self.plain = self._plain()
        if self.checkpoint:
            # The checkpoint's weights come after, and this file may be gone.
            config.model.init_from = config.model.fresh = None
        try:
            super().instantiate_classes()
        except (MisconfigurationException, ValueError, TypeError, OSError) as error:
            raise self._explained(error) from error
        if config.cache_features and self.request.command == "fit":
            self.datamodule = FeatureData(self.datamodule, self.model.net)

    def _plain(self) -> dict[str, Any]:
        """The whole configuration in plain values."""
        dumped = self.parser.dump(self.config, skip_link_targets=True, skip_unset=False, format="yaml")
        plain: dict[str, Any] = yaml.safe_load(dumped)[self.request.command]
        return plain

    # -- the run ---------------------------------------------------------------------------------------------------

    def instantiate_trainer(self, **options: Any) -> Trainer:
        settings = self._get(self.config_init, "trainer")
        given = settings.callbacks
        callbacks: list[Callback] = [given] if isinstance(given, Callback) else list(given or [])
        if sum(isinstance(one, Freezing) for one in callbacks) > 1:
            raise UserError(
                "there are two Freezing callbacks; --trainer.callbacks+=Freezing adds one, without + replaces"
            )
        if settings.fast_dev_run:
            return self._remembered(super().instantiate_trainer(**options))
        # Only the first rank has a directory; Lightning tells the others where checkpoints go.
        if is_first_rank():
            self.reserved.directory = self._allocate()
            self._save_config(self.reserved.directory)
        if settings.profiler is None:
            options["profiler"] = Unprofiled()
        folder = self.reserved.directory or Path(settings.default_root_dir or ".")
        options["default_root_dir"] = str(folder)
        options["logger"] = self._loggers(settings.logger, folder)
        options["callbacks"] = [*callbacks, *self._callbacks(settings, callbacks, folder)]
        return self._remembered(super().instantiate_trainer(**options))

    def _remembered(self, trainer: Trainer) -> Trainer:
        self.reserved.trainer = trainer
        return trainer

    def _allocate(self) -> Path:
        config = self._get(self.config, "runs"), self._get(self.config, "name")
        if self.request.command == "fit":
            return allocate(*config)
        if self.checkpoint and (self.checkpoint.parents[1] / CONFIG).is_file():
            return allocate(self.checkpoint.parents[1], self.request.command)
        return allocate(*config)

    def _save_config(self, directory: Path) -> None:
        import lightning
        import torch

        import convkit

        versions = f"convkit {convkit.__version__}, torch {torch.__version__}, lightning {lightning.__version__}"
        text = yaml.safe_dump(self.plain, sort_keys=False, allow_unicode=True)
        (directory / CONFIG).write_text(f"# convkit {self.request.command}; {versions}\n{text}")

    def _callbacks(self, settings: Any, given: list[Callback], folder: Path) -> list[Callback]:
        own: list[Callback] = []
        if settings.enable_progress_bar is not False and not any(isinstance(one, ProgressBar) for one in given):
            own.append(Progress())
        if self.request.command == "predict":
            return [*own, Predictions(self.reserved.directory and self.reserved.directory / "predictions.csv")]
        own += [EvaluationPages(self.reserved.directory), Skipped(self.reserved.directory)]
        if self.request.command == "fit":
            self.reserved.record = Record(self.reserved.directory, self.plain)
            # Record behind the two: it has the metrics of the epoch written.
            own += [Speed(), FirstFilters(self.reserved.directory), self.reserved.record]
            own.append(StateFile(self.reserved.directory))
            if settings.enable_checkpointing is not False:
                checkpoints = folder / CHECKPOINTS
                # Interruption last: when it stops a fit, the others have seen the step.
                own += [BestCheckpoint(checkpoints, MONITOR), LastCheckpoint(checkpoints)]
                own.append(Interruption(checkpoints / "last.ckpt"))
        return own

    def _loggers(self, given: Any, folder: Path) -> list[Logger]:
        if self.request.command == "predict":
            return []
        own: list[Logger] = [spare(CSVLogger(str(folder), name="", version=""))]
        theirs = [given] if isinstance(given, Logger) else [] if given in (None, True, False) else list(given)
        theirs = [spare(each) for each in theirs]
        mode = self._get(self.config, "wandb")
        wanted = self.request.command == "fit" and given is not False and mode != "off"
        if wanted and is_first_rank() and not any(isinstance(one, WandbLogger) for one in theirs):
            before = to_go_on_with(self.checkpoint, read_checkpoint(self.checkpoint)) if self.checkpoint else None
            self.reserved.tracker = start(mode, self._get(self.config, "wandb_project"), folder, before)
            own += [spare(self.reserved.tracker)] if self.reserved.tracker else []
        return own + theirs

    # -- running ---------------------------------------------------------------------------------------------------

    def _prepare_subcommand_kwargs(self, subcommand: str) -> dict[str, Any]:
        own: dict[str, Any] = {"weights_only": True}
        if subcommand in ("validate", "test"):
            own["verbose"] = False
        elif subcommand == "predict":
            own["return_predictions"] = False
        return {**super()._prepare_subcommand_kwargs(subcommand), **own}

    def before_fit(self) -> None:
        if is_first_rank():
            for line in dropped(self.request.configs, self.plain):
                print(line)
            watch_minima(self.trainer.loggers)
        if self.checkpoint and self.resumed and is_first_rank():
            tell_differences(self.checkpoint, self.resumed, self.plain)

    def after_fit(self) -> None:
        if self.reserved.record and not self.reserved.record.started:
            limit = f"trainer.max_epochs is {self.trainer.max_epochs}"
            where = f"{self.checkpoint} is at epoch {self.trainer.current_epoch}, " if self.checkpoint else ""
            raise UserError(f"nothing is left to train: {where}{limit}; give --trainer.max_epochs N")
        self._keep_best()
        if self._get(self.config, "test_at_end") and not self._get(self.config, "trainer").fast_dev_run:
            best = getattr(self.trainer.checkpoint_callback, "best_model_path", None) or None
            data = self.datamodule.images if isinstance(self.datamodule, FeatureData) else self.datamodule
            self.trainer.test(self.model, data, ckpt_path=best, weights_only=True, verbose=False)
        if self.reserved.directory and self.reserved.record:
            tell_fit(self.trainer, self.reserved.directory, self.reserved.record.seconds)

    def _keep_best(self) -> None:
        best = self.trainer.checkpoint_callback
        if not (self._get(self.config, "wandb_checkpoint") and is_first_rank() and isinstance(best, BestCheckpoint)):
            return
        if best.best_model_score is not None:
            keep(self.trainer.loggers, Path(best.best_model_path), {MONITOR: float(best.best_model_score)})

    def after_validate(self) -> None:
        if self.reserved.directory:
            tell_evaluation(self.trainer, self.reserved.directory)

    def after_test(self) -> None:
        self.after_validate()

    def before_predict(self) -> None:
        if self.trainer.world_size > 1:
            raise UserError("predict writes one file in the images' order; run it with --trainer.devices 1")

    def after_predict(self) -> None:
        if self.reserved.directory:
            print(f"predictions: {self.reserved.directory / 'predictions.csv'}")
