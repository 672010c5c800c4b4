"""Short names, configs that are laid over each other, and what is printed and accepted again."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from convkit.cli.configs import read_config, shipped
from convkit.cli.names import Names

LENET = "convkit.architectures.lenet.LeNet"
RESNET = "convkit.architectures.resnet_cifar.ResNetCifar"
DIGITS = "convkit.datasets.digits.Digits"
BARE = ["--data", "digits", "--model.schedule", "plateau"]


@pytest.fixture
def printed(convkit):
    """The configuration that a fit with these words would use."""

    def call(*words: object) -> dict[str, Any]:
        status, out, err = convkit("fit", *words, "--print_config")
        assert (status, err) == (0, "")
        config: dict[str, Any] = yaml.safe_load(out)
        return config

    return call


@pytest.mark.parametrize(
    "words",
    [
        ["--model.architecture", "lenet"],
        ["--model.architecture=lenet"],
        ["model.architecture=lenet"],
        ["--model.architecture.class_path", "lenet"],
        ["--model.architecture", "convkit:lenet"],
        ["--model.architecture", LENET],
        ["--model.architecture", json.dumps({"class_path": LENET})],
    ],
)
def test_names_on_the_command_line(printed, words: list[str]) -> None:
    architecture = printed(*BARE, *words)["model"]["architecture"]
    assert architecture["class_path"] == LENET


@pytest.mark.parametrize(
    "architecture",
    [
        "resnet_cifar",
        {"class_path": "resnet_cifar"},
        {"class_path": "convkit:resnet_cifar", "init_args": {"depth": 20}},
        {"class_path": RESNET, "init_args": {"shortcut": "identity"}},
    ],
)
def test_names_in_yaml(printed, architecture: Any) -> None:
    config = {"data": "digits", "model": {"architecture": architecture, "schedule": "plateau"}}
    Path("mine.yaml").write_text(yaml.safe_dump(config))
    parsed = printed("--config", "mine.yaml")
    assert parsed["data"]["class_path"] == DIGITS
    chosen = parsed["model"]["architecture"]
    assert chosen["class_path"] == RESNET
    assert chosen["init_args"].items() >= {"depth": 20, "shortcut": "identity", "residual": True}.items()


@pytest.mark.parametrize("name", shipped())
def test_shipped_configs_parse_by_name_and_by_path(printed, name: str) -> None:
    config = printed("--config", name)
    assert config == printed("--config", f"{name}.yaml") == printed("-c", shipped()[name])
    header = shipped()[name].read_text().splitlines()[0]
    assert header.startswith(f"# convkit fit --config {name}")


def test_a_file_here_goes_before_one_that_ships(printed) -> None:
    Path("quickstart").write_text("data: digits\nmodel: {architecture: resnet_cifar, schedule: plateau}\n")
    assert printed("--config", "quickstart")["model"]["architecture"]["class_path"] == RESNET


def test_what_is_printed_is_accepted_and_printed_again(convkit) -> None:
    words = ("--config", "cifar10", "--model.architecture.depth", "32", "--trainer.max_epochs", "7", "--wandb", "off")
    first = convkit("fit", *words, "--print_config").out
    Path("printed.yaml").write_text(first)
    assert convkit("fit", "--config", "printed.yaml", "--print_config").out == first
    config = yaml.safe_load(first)
    assert config["model"]["architecture"]["init_args"]["depth"] == 32
    assert config["wandb"] == "off"
    assert not Path("runs").exists()


def test_a_flag_swallows_no_option_after_it(convkit) -> None:
    out = convkit("fit", "--config", "quickstart", "--print_config", "trainer.max_epochs=3").out
    assert yaml.safe_load(out)["trainer"]["max_epochs"] == 3


def test_later_configs_win_and_options_win_over_all(printed) -> None:
    Path("a.yaml").write_text("trainer: {max_epochs: 3, max_time: 00:01:00:00}\nseed_everything: 5\n")
    Path("b.yaml").write_text("trainer: {max_epochs: 4}\nmodel: {schedule: {init_args: {lr: 1e-3}}}\n")
    config = printed("--config", "quickstart", "--config", "a.yaml", "--config=b.yaml")
    assert (config["trainer"]["max_epochs"], config["seed_everything"]) == (4, 5)
    assert config["model"]["schedule"]["init_args"]["lr"] == 0.001
    assert config["data"]["init_args"]["augment"]["pad"] == 2  # of quickstart, still
    config = printed("trainer.max_epochs=9", "--config", "quickstart", "--config", "a.yaml", "data.augment.pad=1")
    assert (config["trainer"]["max_epochs"], config["data"]["init_args"]["augment"]["pad"]) == (9, 1)


def test_a_class_is_chosen_before_its_options_whatever_the_order(printed) -> None:
    config = printed("--model.architecture.depth", 32, "--data.size=8", "--model.architecture", "resnet_cifar", *BARE)
    assert config["model"]["architecture"]["init_args"]["depth"] == 32
    assert config["data"]["init_args"]["size"] == 8


def test_another_class_over_a_config_keeps_what_both_take(printed, convkit, pictures: Path) -> None:
    config = printed("--config", "cifar10", "--data", "arrays", "--data.path", pictures)
    assert config["data"]["class_path"] == "convkit.datasets.arrays.Arrays"
    assert config["data"]["init_args"]["augment"].items() >= {"pad": 4, "flip": True}.items()
    assert "root" not in config["data"]["init_args"]
    Path("mine.yaml").write_text(
        "data: {class_path: digits, init_args: {size: 24, batch_size: 30, augment: {pad: 1}}}\n"
        "model: {architecture: {class_path: resnet_cifar, init_args: {depth: 8}}, schedule: plateau}\n"
        "trainer: {max_epochs: 1}\nwandb: off\n"
    )
    status, out, err = convkit("fit", "--config", "mine.yaml", "--data", "arrays", "--data.path", pictures)
    assert (status, err) == (0, "")
    assert "data.size of the config is left out: Arrays has no such option\n" in out
    saved = yaml.safe_load(Path("runs/mine/1/config.yaml").read_text())["data"]["init_args"]
    assert saved["batch_size"] == 30
    assert saved["augment"].items() >= {"pad": 1, "flip": False}.items()
    assert "size" not in saved
    # 81 training images are left of 90: batches of 30, 30, 21
    assert "ResNetCifar (74,835 parameters) on Arrays, 3 steps an epoch, cpu" in out


def test_scalars_are_those_of_yaml_1_2(tmp_path: Path) -> None:
    path = tmp_path / "scalars.yaml"
    path.write_text("a: 1e-3\nb: off\nc: true\nd: no\ne: 1E5\nf: .5\ng: 12\nh: null\ni: 1.5e+3\nj: 'on'\nk: False\n")
    assert read_config(path) == {
        "a": 0.001, "b": "off", "c": True, "d": "no", "e": 1e5, "f": 0.5, "g": 12, "i": 1500.0, "j": "on", "k": False
    }  # fmt: skip


def test_a_dotted_path_is_left_alone_and_replaces_the_plugin() -> None:
    names = Names()
    assert names.path("data", "digits") == DIGITS
    assert [plugin.name for plugin in names.chosen.values()] == ["digits"]
    assert names.path("data", "my.module.Data") == "my.module.Data"
    (chosen,) = names.chosen.values()
    assert (chosen.target, chosen.distribution) == ("my.module.Data", "")
    names.path("data", DIGITS)
    (chosen,) = names.chosen.values()
    assert (chosen.name, chosen.distribution) == ("digits", "convkit")
