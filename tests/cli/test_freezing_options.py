"""Freezing from configs and from the command line: how it is spelled, what is refused, and going on otherwise."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from convkit.run import Run

NAME = "convkit.callbacks.freezing.Freezing"
ONE = ["--trainer.max_epochs", 1, "--test_at_end", "false"]


def config(**options: Any) -> str:
    Path("frozen.yaml").write_text(yaml.safe_dump({"trainer": {"callbacks": [{"class_path": "Freezing", **options}]}}))
    return "frozen.yaml"


@pytest.mark.parametrize(
    "words",
    [
        ["--trainer.callbacks", "Freezing", "--trainer.callbacks.policy", "few"],
        ["--trainer.callbacks=Freezing", "--trainer.callbacks.freeze=body"],
        ["--trainer.callbacks+=Freezing", "--trainer.callbacks.freeze=[conv1, conv3, 'fc*']"],
        ["--trainer.callbacks", NAME, "--trainer.callbacks.freeze", "body"],
        ["--config", "frozen.yaml"],
        ["--config", "frozen.yaml", "--trainer.callbacks.freeze", "body"],
        ["--trainer.callbacks+=ModelSummary", "--trainer.callbacks+=Freezing", "--trainer.callbacks.policy=few"],
    ],
)
def test_it_is_chosen_by_its_name(fit, words: list[str]) -> None:
    config(init_args={"freeze": ["body"]})
    out = fit(*ONE, *words).out
    assert "frozen: conv1 … fc6 (14,776 parameters); learning: head (850)\n" in out
    used = Run.open("runs/quickstart").config["trainer"]["callbacks"]
    assert [each["class_path"] for each in used if "Freezing" in each["class_path"]] == [NAME]  # as it replays


def test_the_command_line_overrides_a_config(fit) -> None:
    out = fit(*ONE, "--config", config(init_args={"policy": "few"}), "--trainer.callbacks.policy", "some").out
    assert "frozen: conv1, conv3 (2,572 parameters); learning: fc5, fc6, head (13,054)\n" in out


FEW = ["--trainer.callbacks=Freezing", "--trainer.callbacks.policy=few"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--trainer.callbacks=Freezing"], "Freezing wants either freeze, what is frozen from the start, or a policy"),
        ([*FEW, "--trainer.callbacks.freeze=body"], "Freezing wants either freeze"),
        (["--trainer.callbacks=Freezing", "--trainer.callbacks.policy=fw"],
         "trainer.callbacks.policy cannot be 'fw'; wanted one of few, some, more, all, auto"),
        (["--trainer.callbacks=Freezing", "--trainer.callbacks.polcy=few"],
         "trainer.callbacks: Freezing has no option 'polcy'; did you mean policy?"),
        (["--trainer.callbacks=Freezing", "--trainer.callbacks.freeze=[conv1, fcc6]"],
         "Freezing.freeze: 'fcc6' is no stage, module or parameter of LeNet; did you mean fc6?"),
        ([*FEW, "--trainer.callbacks.thaw={3: fc6, 2: conv3}"],
         "Freezing.thaw goes back from epoch 3 to 2; give the epochs in their order"),
        ([*FEW, "--trainer.callbacks.thaw={3: head}"],
         "Freezing.thaw 3: 'head' is not frozen by then, and cannot thaw; leave it out"),
        ([*FEW, "--trainer.callbacks.thaw_when_stalled=body", "--trainer.callbacks.monitor=val/acc"],
         "Freezing watches 'val/acc', which nothing logs; choose from "),
        (["--trainer.callbacks=Freezing", "--trainer.callbacks.freeze=[body, head]"],
         "Freezing freezes all of LeNet: nothing is left to learn; leave out 'head'"),
        ([*FEW, "--trainer.callbacks+=Freezing", "--trainer.callbacks.policy=all"],
         "there are two Freezing callbacks; --trainer.callbacks+=Freezing adds one, without + replaces"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_before_the_first_step(convkit, words: list[str], message: str) -> None:
    status, _, err = convkit("fit", "--config", "quickstart", "--data.size", 16, "--wandb", "off", *words)
    assert status == 2
    assert err.startswith(f"convkit: error: {message}")
    assert err.count("\n") == 1
    assert not Path("runs").exists()


def test_going_on_with_its_own_options_and_with_others(fit, convkit) -> None:
    thaw = {"policy": "few", "thaw": {1: ["fc6"], 3: ["body"]}}
    fit("--trainer.max_epochs", 2, "--test_at_end", "false", "--config", config(init_args=thaw))
    on = ["fit", "--ckpt_path", "runs/quickstart/1", "--wandb", "off", "--trainer.max_epochs", 4]
    status, out, err = convkit(*on)
    assert (status, err) == (0, "")
    assert "frozen: conv1, conv3, fc5 (4,612 parameters); learning: fc6, head (11,014)\n" in out
    assert "epoch 4: thawing body (4,612 parameters); 15,626 learn\n" in out
    status, out, err = convkit(*on, "--trainer.callbacks.policy", "some", "--trainer.callbacks.thaw", "null")
    assert (status, err) == (0, "")
    assert "  trainer.callbacks: " in out  # what is different now is told
    assert "frozen: conv1, conv3 (2,572 parameters); learning: fc5, fc6, head (13,054)\n" in out
