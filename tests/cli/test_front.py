"""The front: help, version and plugins without torch; exit statuses; a reader that goes away."""

import json
import re
import subprocess
import sys

import pytest

from convkit.cli.configs import shipped
from convkit.cli.front import COMMANDS, main
from convkit.plugins import installed

TRAINING = ("fit", "validate", "test", "predict")


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["--help"], 0),
        (["--version"], 0),
        ([], 0),
        (["plugins"], 0),
        (["plugins", "--json"], 0),
        (["plugins", "--help"], 0),
        (["fti"], 2),
        (["fit", "--config", "quickstrat"], 2),
        (["fit", "--config", "quickstart", "--model.architecture", "lente"], 2),
        *[([command, "--help"], 0) for command in TRAINING],
    ],
)
def test_no_torch_until_something_is_computed(words: list[str], status: int) -> None:
    code = (
        "import sys; from convkit.cli.front import main\n"
        f"status = main({words!r})\n"
        "print(sorted({'torch', 'lightning', 'numpy', 'wandb', 'jsonargparse'} & set(sys.modules)), file=sys.stderr)\n"
        "sys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stderr
    assert done.stderr.splitlines()[-1] == "[]"
    assert "Traceback" not in done.stderr


def test_help_has_a_line_for_every_command(convkit) -> None:
    page = convkit("--help").out
    for name, command in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(command.summary)}$", page, re.MULTILINE)
    assert convkit() == convkit("help") == convkit("-h") == (0, page, "")


@pytest.mark.parametrize("command", TRAINING)
def test_first_screen_of_help(convkit, command: str) -> None:
    page = convkit(command, "--help").out
    assert len(page.splitlines()) <= 40
    assert max(map(len, page.splitlines())) <= 100
    assert "--help-all" in page
    for name in shipped():
        assert name in page
    kinds = ("architecture", "dataset", "schedule") if command == "fit" else ("dataset",)
    for plugin in installed():
        if plugin.kind in kinds and plugin.distribution == "convkit":
            assert re.search(rf"\b{plugin.name}\b", page), plugin


@pytest.mark.parametrize("command", TRAINING)
def test_all_options_are_one_flag_away(convkit, command: str) -> None:
    status, page, _ = convkit(command, "--help-all")
    assert status == 0
    for option in ("--trainer.accumulate_grad_batches", "--trainer.max_epochs", "--seed_everything", "--ckpt_path"):
        assert option in page
    assert "--weights_only" not in page  # checkpoints are always loaded without running what is in them


def test_help_of_a_class(convkit) -> None:
    for short in ("resnet_cifar", "convkit:resnet_cifar", "convkit.architectures.resnet_cifar.ResNetCifar"):
        status, page, _ = convkit("fit", "--model.architecture.help", short)
        assert status == 0
        assert "--model.architecture.depth" in page
        assert "num_classes" not in page  # comes from the data
    assert "--data.size" in convkit("fit", "--data.help=digits").out
    assert "--model.schedule.max_drops" in convkit("fit", "--model.schedule.help", "plateau").out


def test_version(convkit) -> None:
    from importlib.metadata import version

    assert convkit("--version") == (0, f"convkit {version('convkit')}\n", "")


def test_plugins_as_a_table_and_as_json(convkit) -> None:
    rows = json.loads(convkit("plugins", "--json").out)
    assert rows == [{**plugin.as_dict(), "note": ""} for plugin in installed()]
    assert all(list(row) == ["kind", "name", "distribution", "version", "target", "note"] for row in rows)
    lenet = next(row for row in rows if row["name"] == "lenet")
    assert (lenet["kind"], lenet["distribution"]) == ("architecture", "convkit")
    assert lenet["target"] == "convkit.architectures.lenet:LeNet"
    head, *lines = convkit("plugins").out.splitlines()
    assert head.split() == ["kind", "name", "distribution", "version", "target"]
    assert [line.split() for line in lines] == [list(row.values())[:-1] for row in rows]


def test_a_reader_that_has_gone_is_no_error(process) -> None:
    running = process("plugins")
    running.stdout.close()  # as `| head -1` does once it has its line
    _, err = running.communicate(timeout=60)
    assert err == ""
    assert running.returncode == 141  # 128 + SIGPIPE, as other programs


def test_debug_shows_where_it_came_from(convkit) -> None:
    plain, full = convkit("fti"), convkit("fti", "--debug")
    assert plain == (2, "", "convkit: error: unknown command 'fti'; did you mean fit?\n")
    assert full.err.startswith("Traceback (most recent call last)")
    assert full.err.endswith(plain.err)


def test_interrupted_before_training(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(words: list[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("convkit.cli.front.run", interrupted)
    assert main(["fit"]) == 130
    assert capsys.readouterr().err == "convkit: interrupted\n"
