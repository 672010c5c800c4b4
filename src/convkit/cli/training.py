"""``convkit fit | validate | test | predict``, up to where torch is needed: help, configs, names."""

import sys
import textwrap
from collections.abc import Iterable
from pathlib import Path

from convkit.cli.configs import find_config, read_config, shipped
from convkit.cli.names import Names
from convkit.cli.request import Request
from convkit.plugin_health import compare
from convkit.plugins import named
from convkit.run_directory import CONFIG, recorded_plugins

HELP = {
    "fit": """\
convkit fit --config CONFIG [--option VALUE …]

Trains a network and leaves a run: runs/<name>/<n>, with runs/<name>/latest. Nothing is overwritten.

  --config CONFIG           a YAML file, or one that ships (may be repeated, later ones win):
                            {configs}
  --data NAME               {datasets}
  --model.architecture NAME {architectures}
  --model.schedule NAME     {schedules}
  --model.init_from SOURCE  start from a run, a checkpoint, a file of weights, or timm:NAME
  --model.fresh '[head, …]' but let these stages start anew
  --trainer.max_epochs N    when to stop;  --trainer.devices N  on how many devices
  --name NAME               of the run; the config's by default;  --tags+=WORD  to find it by
  --ckpt_path PATH          go on from a checkpoint, a run, or `last`: with its configuration, where
                            you give no other
  --wandb MODE              Weights & Biases: off, offline (the default; needs no account), online
  --wandb_checkpoint true   the best checkpoint as an artifact of the W&B run
  --test_at_end true        test the best checkpoint when training ends
  --print_config            what would be used, as YAML; trains nothing

Every option has a dotted name, those of a dataset, an architecture and Lightning's Trainer too:
--data.batch_size 64, --model.architecture.depth 32, --trainer.devices 2

  convkit fit --data.help {dataset}                  the options of a dataset, or of another class:
  convkit fit --model.architecture.help {architecture}    and --model.schedule.help
  convkit fit --help-all                          every option there is
""",
    "evaluate": """\
convkit {command} --ckpt_path RUN [--option VALUE …]

{what}
The configuration is the run's own, where you give no other.

  --ckpt_path PATH          a run (its best checkpoint), a checkpoint, or `last` (the newest)
  --config CONFIG           a YAML file, or one that ships:
                            {configs}
  --data NAME               other data:
                            {datasets}
  --trainer.devices N       on how many devices

Results go to <run>/{command}/<n>.

  convkit {command} --help-all   every option there is
""",
}
WHAT = {
    "validate": "Error, confusion matrix and worst mistakes on the validation images.",
    "test": "Error, confusion matrix and worst mistakes on the test images.",
    "predict": "The class of every test image, with its probability, as predictions.csv.",
}


def main(command: str, arguments: list[str]) -> int:
    if "-h" in arguments or "--help" in arguments:
        print(page(command), end="")
        return 0
    request = read(command, arguments)
    # From here on it computes: this import takes seconds.
    from convkit.cli.running import run

    sys.argv[0] = sys.argv[0] or "convkit"
    return run(request)


def page(command: str) -> str:
    """The one screen of help."""
    names = {f"{kind}s": column(named(kind)) for kind in ("dataset", "architecture", "schedule")}
    configs = column(shipped())
    if command == "fit":
        return HELP["fit"].format(configs=configs, dataset="digits", architecture="lenet", **names)
    return HELP["evaluate"].format(command=command, what=WHAT[command], configs=configs, **names)


def column(names: Iterable[str]) -> str:
    """Names in the help's right-hand column, which holds 72 characters."""
    return textwrap.fill(", ".join(names), 72, break_on_hyphens=False).replace("\n", "\n" + 28 * " ")


def read(command: str, arguments: list[str]) -> Request:
    """Configs read, short names replaced, nothing parsed yet.

    Raises:
        UserError: a config or a plugin that is not there, also one that the run was made with whose config it is, or
            YAML that is none.
    """
    names = Names()
    request = Request(command)
    words = names.in_arguments(["--help" if word == "--help-all" else word for word in arguments])
    from_words = names.chosen
    names.chosen = {}
    for word in words:
        option, _, value = word.partition("=")
        if option != "--config":
            request.words.append(word)
            continue
        path = find_config(value)
        config = read_config(path)
        if path.name == CONFIG:
            # A run's own: its plugins are those that the run was made with, where one that is missing has a name.
            compare(recorded_plugins(path.parent), path)
        request.configs.append(names.in_config(config, path in shipped().values()))
        request.default_name = request.default_name or Path(path).stem
    request.plugins = list({**names.chosen, **from_words}.values())
    return request
