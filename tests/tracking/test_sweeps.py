"""The sweeps that ship: W&B takes them as they are, and its agent's command line trains."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args
from wandb_server import Server

from convkit.cli.front import main
from convkit.run import Run

SWEEPS = sorted((Path(__file__).parents[2] / "configs/sweeps").glob("*.yaml"))
SHORT = {"data.size": 16, "data.batch_size": 128, "trainer.max_epochs": 1}


def drawn(config: dict[str, Any], number: int) -> dict[str, Any]:
    """A trial's values: of each parameter the ``number``-th, or the lowest and the highest there are."""
    found = {}
    for name, spec in config["parameters"].items():
        choices = spec.get("values") or [spec["min"], spec["max"]]
        found[name] = choices[number % len(choices)]
    return found


def expanded(config: dict[str, Any], values: dict[str, Any]) -> list[str]:
    """The words that W&B's agent would start."""
    words = create_sweep_command(list(config["command"]))
    macros = create_sweep_command_args({"args": {name: {"value": value} for name, value in values.items()}})
    macros |= {"env": ["/usr/bin/env"], "program": [config["program"]]}
    return [each for word in words for each in (macros[word[2:-1]] if word.startswith("${") else [word])]


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_every_trial_is_a_fit_that_convkit_understands(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = yaml.safe_load(path.read_text())
    assert config["metric"] == {"name": "val/top1_error", "goal": "minimize"}
    for number in range(2):
        values = drawn(config, number)
        words = expanded(config, values)
        assert words[:3] == ["/usr/bin/env", "convkit", "fit"]
        assert main([*words[2:], "--print_config"]) == 0
        printed = yaml.safe_load(capsys.readouterr().out)
        for name, value in values.items():
            place: Any = printed
            for key in name.split("."):
                place = place[key] if key in place else place["init_args"][key]
            assert place == value, name


class Sweeping(Server):
    """Takes a sweep, and hands its agent two trials, one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.sweep = ""
        self.trials: list[dict[str, Any]] = []

    def _UpsertSweep(self, config: str, **_: Any) -> dict[str, Any]:  # noqa: N802
        self.sweep = config
        project = {"id": "p", "name": "convkit", "entity": {"id": "me", "name": "me"}}
        return {"upsertSweep": {"sweep": {"name": "swept", "project": project}, "configValidationWarnings": []}}

    def _SweepWithRuns(self, **_: Any) -> dict[str, Any]:  # noqa: N802
        facts = {"id": "1", "name": "swept", "state": "RUNNING", "config": self.sweep, "runs": {"edges": []}}
        return {"project": {"sweep": facts}}

    def _CreateAgent(self, **_: Any) -> dict[str, Any]:  # noqa: N802
        return {"createAgent": {"agent": {"id": "a"}}}

    def _Heartbeat(self, runState: str, **_: Any) -> dict[str, Any]:  # noqa: N802
        return {"agentHeartbeat": {"agent": {"id": "a"}, "commands": json.dumps(self._commands(runState))}}

    def _commands(self, running: str) -> list[dict[str, Any]]:
        if running != "{}":
            return []
        if len(self.trials) == 2:
            return [{"type": "exit"}]
        config = yaml.safe_load(self.sweep)
        self.trials.append(drawn(config, len(self.trials)) | SHORT)
        values = {name: {"value": value} for name, value in self.trials[-1].items()}
        return [{"type": "run", "run_id": f"trial{len(self.trials)}", "program": config["program"], "args": values}]


@pytest.mark.slow
def test_two_trials_by_wandb_sweep_and_wandb_agent(tmp_path: Path) -> None:
    bin_folder = Path(sys.executable).parent
    with Sweeping() as server:
        environment = {
            **os.environ,
            "PATH": f"{bin_folder}:{os.environ['PATH']}",
            "WANDB_BASE_URL": server.url,
            "WANDB_API_KEY": "a" * 40,
        }

        def wandb(*words: str) -> str:
            done = subprocess.run(
                [str(bin_folder / "wandb"), *words],
                cwd=tmp_path, env=environment, capture_output=True, text=True, check=True, timeout=250,
            )  # fmt: skip
            return done.stdout + done.stderr

        made = wandb("sweep", str(next(path for path in SWEEPS if path.stem == "rates")))
        agent = re.search(r"wandb agent (\S+)", made)
        assert agent, made
        wandb("agent", agent[1])
        assert len(server.trials) == 2
        assert {*server.configs} == {"trial1", "trial2"}
        for name in ("trial1", "trial2"):
            assert any("val/top1_error" in row for row in server.history[name].values())
    for number, values in enumerate(server.trials, 1):
        config = Run.open(tmp_path / f"runs/quickstart/{number}").config
        assert config["model"]["schedule"]["init_args"]["lr"] == values["model.schedule.lr"]
        assert config["seed_everything"] == values["seed_everything"]
