"""``convkit check``: its figures against a fit's and against plain computation, and what it refuses."""

import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from check_pieces import Plain
from PIL import Image
from torch import nn
from torch.autograd.graph import saved_tensors_hooks

from conftest import SMALL, Command
from convkit import plugins
from convkit.architectures.lenet import LeNet
from convkit.architectures.resnet_cifar import ResNetCifar
from convkit.cli.rate_plot import rate_plot
from convkit.datasets.digits import Digits
from convkit.datasets.image_folder import ImageFolder
from convkit.run import Run

PLAIN = ("--model.architecture", "check_pieces.Plain")
FREEZE = ("--trainer.callbacks+=Freezing",)
TWO_RANKS = ("--trainer.devices", "2", "--trainer.accelerator", "cpu", "--trainer.strategy")

Check = Callable[..., dict[str, Any]]


def files(folder: Path) -> list[tuple[str, int]]:
    return sorted((str(path), path.stat().st_mtime_ns) for path in folder.rglob("*"))


@pytest.fixture
def check(convkit: Command, tmp_path: Path) -> Check:
    """What ``convkit check --json`` says of a run that could work."""

    def call(*words: object, status: int = 0) -> dict[str, Any]:
        before = files(tmp_path)
        result = convkit("check", *SMALL, *words, "--json")
        assert result.status == status, result.err
        assert files(tmp_path) == before
        found: dict[str, Any] = json.loads(result.out)
        assert bool(found["problems"]) == bool(status)
        return found

    return call


@pytest.fixture
def refused(convkit: Command, tmp_path: Path) -> Callable[..., list[str]]:
    """The lines on stderr of a run that could not work; nothing is written."""

    def call(*words: object) -> list[str]:
        before = files(tmp_path)
        result = convkit("check", *SMALL, *words)
        assert result.status == 2, result.out
        assert files(tmp_path) == before
        lines = result.err.splitlines()
        assert all(line.startswith("convkit: error: ") for line in lines)
        return [line.removeprefix("convkit: error: ") for line in lines]

    return call


def test_help_is_one_screen_and_needs_no_torch(convkit: Command) -> None:
    page = convkit("check", "--help").out
    assert len(page.splitlines()) <= 30
    assert max(map(len, page.splitlines())) <= 120
    code = "import sys; from convkit.cli.front import main; main(['check', '--help']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


# -- figures -----------------------------------------------------------------------------------------------------------


def test_network_data_and_steps(check: Check) -> None:
    found = check("--trainer.max_epochs", 7, "--trainer.accumulate_grad_batches", 2)
    net, data = LeNet(10, (1, 16, 16)), Digits(size=16, batch_size=128)
    data.setup()
    assert found["architecture"] == "LeNet"
    assert found["parameters"] == sum(each.numel() for each in net.parameters())
    assert (found["image_shape"], found["num_classes"]) == ([1, 16, 16], 10)
    assert found["images"] == {split: len(data.splits[split].images) for split in ("train", "val")}
    batches = len(data.train_dataloader())
    assert found["batches"] == {"train": batches, "val": len(data.val_dataloader())}
    assert batches % 2, "a last batch that has no partner"
    assert (found["steps_per_epoch"], found["steps"]) == ((batches + 1) // 2, 7 * (batches + 1) // 2)


@pytest.mark.parametrize(
    ("words", "epochs", "steps"),
    [
        (("--trainer.max_steps", 25), 3, 25),  # of 11 an epoch
        (("--trainer.max_epochs", 3, "--trainer.max_steps", 25), 3, 25),
        (("--trainer.max_epochs", 2, "--trainer.limit_train_batches", 4), 2, 8),
        (("--trainer.max_epochs", -1), None, None),
    ],
)
def test_where_a_fit_ends(check: Check, words: tuple[object, ...], epochs: int | None, steps: int | None) -> None:
    plain = () if "--trainer.max_epochs" in words else ("--trainer.max_epochs", "null")
    found = check(*plain, *words)
    assert found["batches"]["train"] in (11, 4)
    assert (found["epochs"], found["steps"]) == (epochs, steps)


def test_groups(check: Check) -> None:
    net = LeNet(10, (1, 16, 16))
    head = sum(each.numel() for each in net.stage("head").parameters())
    whole = sum(each.numel() for each in net.parameters())
    body, top = check("--model.schedule", "check_pieces.Stairs", "--model.schedule.lr", 0.2)["groups"]
    assert body == {"name": "body", "parameters": whole - head, "lr": 0.02, "weight_decay": 0.0,
                    "learns": {"start": whole - head}}  # fmt: skip
    assert top == {"name": "head", "parameters": head, "lr": 0.2, "weight_decay": 1e-3, "learns": {"start": head}}


def test_what_freezing_says_of_the_groups(check: Check) -> None:
    net = LeNet(10, (1, 16, 16))
    counts = {name: sum(each.numel() for each in getattr(net, name).parameters()) for name in ("conv1", "conv3")}
    rest = sum(each.numel() for each in net.parameters()) - sum(counts.values())
    words = (*FREEZE, "--trainer.callbacks.freeze", "[conv1, conv3]", "--trainer.callbacks.thaw", "{2: [conv3]}")
    found = check(*words)
    (group,) = found["groups"]
    assert group["learns"] == {"start": rest, "epoch 3": counts["conv3"], "never": counts["conv1"]}
    assert any("thawing after epoch 2: conv3" in note for note in found["notes"])
    assert found["unused"] == []
    late = check(*words[:-1], "{2: [conv3], 30: [conv1]}")
    assert any("conv1; the fit ends before, at epoch 20" in note for note in late["notes"])


def test_features_train_the_head_alone(check: Check) -> None:
    head = sum(each.numel() for each in LeNet(10, (1, 16, 16)).stage("head").parameters())
    found = check("--cache_features", "true", "--data.augment.pad", 0)
    (group,) = found["groups"]
    assert group["learns"] == {"start": head, "never": found["parameters"] - head}
    assert found["memory"]["gradients"] == 4 * head
    assert found["memory"]["optimizer"] == 4 * head
    # Of each image what the head gets, 84 numbers, ten log-probabilities and the class; the weight of the loss.
    batch = found["memory"]["batch"]
    assert found["memory"]["activations"] == batch * (4 * 84 + 4 * 10 + 8) + 4


# -- the rate ----------------------------------------------------------------------------------------------------------

SCHEDULES = ["check_pieces.Stairs", "check_pieces.Sawtooth", "check_pieces.Every"]
PLUGINS = [name for name in plugins.named("schedule") if name != "plateau"]


@pytest.mark.parametrize(
    ("schedule", "accumulate"),
    [*((each, 1) for each in ("plateau", *SCHEDULES, *PLUGINS)), ("cosine", 3), *((each, 3) for each in SCHEDULES)],
)
def test_rates_are_those_that_a_fit_uses(check: Check, fit: Command, schedule: str, accumulate: int) -> None:
    words = ["--model.schedule", schedule, "--trainer.max_epochs", 5, "--trainer.accumulate_grad_batches", accumulate]
    if schedule == "steps":
        words += ["--model.schedule.milestones", "[2, 4]", "--model.schedule.warmup_epochs", 0.5]
    words += ["--model.schedule.optimizer", "adamw"] if schedule == "timm" else []
    found = check(*words)["rates"]
    fit(*words, "--trainer.callbacks+=check_pieces.Used", "--trainer.callbacks.path", "used.json")
    used = json.loads(Path("used.json").read_text())
    assert found["steps"] == list(range(len(used)))
    for name, rates in found["rates"].items():
        assert rates == pytest.approx([each[name] for each in used], rel=1e-12)
    assert bool(found["waits"]) == (schedule == "plateau")
    if schedule in ("check_pieces.Stairs", "steps"):
        per_epoch = len(used) // 5
        assert [drop["step"] for drop in found["drops"]["head" if "Stairs" in schedule else "all"]] == [
            2 * per_epoch, 4 * per_epoch,
        ]  # fmt: skip


@pytest.mark.parametrize("schedule", ["plateau", "cosine", "steps"])
def test_rates_are_those_in_the_log(check: Check, fit: Command, schedule: str) -> None:
    words = ["--model.schedule", schedule, "--trainer.max_epochs", 3, "--trainer.log_every_n_steps", 1,
             "--model.schedule.rates", "{head: 0.03}"]  # fmt: skip
    words += ["--model.schedule.milestones", "[2]"] if schedule == "steps" else []
    found = check(*words)["rates"]
    fit(*words)
    rows = [row for row in Run.open("runs/quickstart").metrics if "lr/head" in row]
    assert [row["step"] for row in rows] == [step + 1 for step in found["steps"]]  # counted once they are done
    assert found["rates"].keys() == {"head", "other"}
    for name, rates in found["rates"].items():
        assert rates == pytest.approx([row[f"lr/{name}"] for row in rows], rel=1e-12)
    until = "until validation decides: divided by 10 when val/top1_error has not improved"
    assert found["waits"].startswith(until if schedule == "plateau" else "")
    assert bool(found["waits"]) == (schedule == "plateau")


def test_a_long_run_is_looked_up_at_some_steps(check: Check) -> None:
    found = check("--model.schedule", "check_pieces.Stairs", "--trainer.max_epochs", 2000)["rates"]
    steps = found["steps"]
    assert len(steps) <= 200
    assert (steps[0], steps[-1]) == (0, 21_999)
    assert found["rates"]["head"][3] == pytest.approx(0.1 * 0.5 ** (steps[3] // 22), rel=1e-9)
    assert len(found["drops"]["head"]) == 999


def test_plot_of_stairs_is_logarithmic_and_of_a_curve_is_not() -> None:
    stairs = np.repeat([0.1, 0.01, 0.001], 20)
    *rows, _, below = rate_plot(stairs, True, 3)
    assert [len(row[10:]) for row in rows] == [20, 20, 40, 40, 40, 60]  # 6, 3½ and 1 rows high
    assert rows[2][10:] == "█" * 20 + "▄" * 20
    assert rows[0].startswith("     0.1 │")
    assert rows[-1].startswith("   0.001 │")
    assert "logarithmic" in below
    assert below.endswith("epoch 3")
    line = np.linspace(1, 0, 60)
    *rows, _, below = rate_plot(line, False, None)
    heights = [sum(" ▁▂▃▄▅▆▇█".index(row[10:].ljust(60)[column]) for row in rows) for column in range(60)]
    assert heights == [round(48 * value) for value in line]
    assert below.endswith("step 60")
    assert "logarithmic" not in below


# -- one step on a few images ------------------------------------------------------------------------------------------


def test_unused_parameters_are_named(check: Check, refused: Callable[..., list[str]]) -> None:
    assert check(*PLAIN)["unused"] == []
    assert check(*PLAIN, "--model.architecture.spare", "true")["unused"] == ["spare.weight", "spare.bias"]
    spare = (*PLAIN, "--model.architecture.spare", "true", *TWO_RANKS)
    (line,) = refused(*spare, "ddp")
    assert "does not depend on spare.weight, spare.bias, which ends a fit on 2 ranks" in line
    assert check(*spare, "ddp_find_unused_parameters_true")["unused"] == ["spare.weight", "spare.bias"]


def test_auxiliary_heads_are_used(check: Check) -> None:
    words = ("--data.size", 32, "--model.architecture", "googlenet", "--model.architecture.stem", "small",
             "--model.architecture.width", 0.125)  # fmt: skip
    assert check(*words)["unused"] == []


def test_memory_is_what_the_formulas_give(check: Check) -> None:
    batch, side, classes = 128, 16, 10
    memory = check(*PLAIN)["memory"]
    net = Plain(classes, (1, side, side))
    parameters = 4 * sum(each.numel() for each in net.parameters())
    assert memory["batch"] == batch
    assert memory["parameters"] == memory["gradients"] == memory["optimizer"] == parameters  # momentum
    kept = {
        "images, for the convolution's weights": batch * side**2 * 4,
        "maps, for ReLU and pooling": batch * 8 * side**2 * 4,
        "where the largest were": batch * 8 * (side // 2) ** 2 * 8,
        "pooled maps, for the dense layer": batch * 8 * (side // 2) ** 2 * 4,
        "log-probabilities": batch * classes * 4,
        "classes": batch * 8,
        "the number of images": 4,
    }
    assert memory["activations"] == sum(kept.values())
    assert memory["total"] == 3 * parameters + memory["activations"]


def test_memory_of_two_moments_and_of_an_average(check: Check) -> None:
    adam = ("--model.schedule", "timm", "--model.schedule.optimizer", "adamw", "--model.schedule.ema", 0.99)
    memory = check(*PLAIN, *adam)["memory"]
    tensors = len([*Plain(10, (1, 16, 16)).parameters()])
    assert memory["optimizer"] == 2 * memory["parameters"] + 4 * tensors  # and the number of steps
    assert memory["average"] == memory["parameters"]


def test_memory_of_a_whole_batch(check: Check) -> None:
    """Two and three images tell what 128 take: all that batch norm keeps by the map is in the constant part."""
    words = ("--data.size", 32, "--model.architecture", "resnet_cifar", "--model.architecture.depth", 20)
    memory = check(*words)["memory"]
    net = ResNetCifar(10, (1, 32, 32), depth=20)
    own = {each.data_ptr() for each in (*net.parameters(), *net.buffers())}
    held: dict[int, tuple[int, torch.Tensor]] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.data_ptr() not in own:
            held[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes(), tensor
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = nn.functional.cross_entropy(net(torch.randn(128, 1, 32, 32)), torch.zeros(128, dtype=torch.long))
    assert loss.isfinite()
    assert memory["activations"] == pytest.approx(sum(size for size, _ in held.values()), rel=1e-3)


def test_memory_is_about_what_is_held_at_the_worst_moment(
    check: Check, monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config
) -> None:
    """Every storage that an operation of a step returns, counted. That moment comes in the backward pass, where the
    gradients are not all there yet and the last activations not yet gone: 0.98 to 1.03 for ResNet-18, AlexNet and
    MobileNetV2 on 16 images of 224×224, and for the CIFAR ResNet-20 on 128."""
    monkeypatch.syspath_prepend(pytestconfig.rootpath / "benchmarks")
    held = importlib.import_module("freezing").Held()
    words = ("--data.size", 32, "--data.batch_size", 32, "--model.architecture", "resnet_cifar",
             "--model.architecture.depth", 20)  # fmt: skip
    memory = check(*words)["memory"]
    net, images = ResNetCifar(10, (1, 32, 32), depth=20), torch.randn(32, 1, 32, 32)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    with held:
        nn.functional.cross_entropy(net(images), torch.zeros(32, dtype=torch.long)).backward()
        optimizer.step()
    assert memory["total"] == pytest.approx(memory["parameters"] + images.nbytes + held.peak, rel=0.05)


def test_half_the_images_a_rank_keep_half(check: Check) -> None:
    one, two = check()["memory"], check(*TWO_RANKS, "ddp")["memory"]
    assert (one["batch"], two["batch"]) == (128, 64)
    assert two["activations"] == pytest.approx(one["activations"] / 2, rel=1e-3)


# -- what could not work -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--model.schedule.monitor", "val/top1"), "the schedule watches 'val/top1', which nothing logs; did you mean"),
        (("--trainer.limit_val_batches", "0"), "the schedule watches 'val/top1_error', and there is no validation"),
        (("--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor", "val/los"),
         "EarlyStopping watches 'val/los', which nothing logs; did you mean val/loss?"),
        ((*FREEZE, "--trainer.callbacks.freeze", "conv*", "--trainer.callbacks.thaw_when_stalled", "[conv3]",
          "--trainer.callbacks.monitor", "val/acc"), "Freezing watches 'val/acc', which nothing logs"),
        ((*FREEZE, "--trainer.callbacks.freeze", "conv9"), "'conv9' is no stage, module or parameter of LeNet"),
        ((*FREEZE, "--trainer.callbacks.freeze", "[body, head]"), "Freezing freezes all of LeNet"),
        ((*PLAIN, "--model.architecture.still", "true"), "nothing learns: every parameter of Plain is frozen"),
        ((*PLAIN, "--model.architecture.broken", "true"), "Plain cannot train on a batch of 3×1×16×16: maps of anoth"),
        (("--data.size", "8"), "an image of 8×8 is too small"),
        (("--model.init_from", "other.pth"), "do not fit LeNet"),
        ((*TWO_RANKS, "ddp", "--data.batch_size", "1"), "data.batch_size 1 cannot be divided among 2 ranks"),
        (("--trainer.devices", "200", "--trainer.accelerator", "cpu", "--data.batch_size", "400"),
         "143 val images cannot be divided among 200 ranks"),
        (("--trainer.max_epochs", "0"), "nothing is left to train: trainer.max_epochs is 0"),
        (("--trainer.limit_train_batches", "0"), "nothing is left to train: an epoch has no batch"),
        (("--model.architecture.pooling", "mean"), "wanted one of"),
        (("--data.augment.padd", "3"), "did you mean pad?"),
    ],
)  # fmt: skip
def test_a_run_that_could_not_work(refused: Callable[..., list[str]], words: tuple[str, ...], line: str) -> None:
    torch.save({"conv1.weight": torch.zeros(3)}, "other.pth")
    (said,) = refused(*words)
    assert line in said


def test_what_it_would_start_from(check: Check, trained: Path, named: tuple[str, ...]) -> None:
    words = ("--model.init_from", trained, "--model.fresh", "fc6")
    (same,) = check(*words)["notes"]
    assert same == f"started from {trained}: 8 tensors loaded; fresh: fc6 (fc6.weight, fc6.bias)"
    (others,) = check(*words, *named)["notes"]
    assert others.endswith(
        ": 6 tensors loaded; fresh: fc6 (fc6.weight, fc6.bias), head (fc7.weight, fc7.bias), for other classes"
    )


def test_a_loss_that_is_no_number(refused: Callable[..., list[str]]) -> None:
    net = LeNet(10, (1, 16, 16))
    net.conv1.weight.data.fill_(torch.nan)
    torch.save(net.state_dict(), "nan.pth")
    assert refused("--model.init_from", "nan.pth") == ["the loss of the first images is nan, no number to train on"]


def test_a_rate_for_what_is_frozen_for_ever(refused: Callable[..., list[str]]) -> None:
    (said,) = refused(*FREEZE, "--trainer.callbacks.policy", "few", "--model.schedule.rates", "{body: 0.001}")
    assert "model.schedule.rates: 'body' is frozen for ever" in said
    words = ("--cache_features", "true", "--data.augment.pad", 0, "--model.schedule.rates", "{body: 0.001}")
    assert refused(*words) == ["model.schedule.rates: 'body' never learns; leave its rate out"]


def test_problems_come_all_at_once(check: Check) -> None:
    words = (*PLAIN, "--model.architecture.broken", "true", "--model.schedule.monitor", "val/x",
             "--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor", "val/y")  # fmt: skip
    found = check(*words, status=2)
    assert len(found["problems"]) == 3
    assert [monitor["logged"] for monitor in found["monitors"]] == [False, False]
    assert found["memory"] is None
    assert found["rates"]["rates"]["all"]


def test_a_checkpoint_to_go_on_from(check: Check, refused: Callable[..., list[str]], trained: Path) -> None:
    (note,) = check("--ckpt_path", trained, "--trainer.max_epochs", 5)["notes"]
    assert note.startswith("goes on from ")
    assert note.endswith("last.ckpt, step 22")  # two epochs of eleven
    (said,) = refused("--ckpt_path", trained, "--trainer.max_epochs", 2)
    assert "nothing is left to train" in said
    (said,) = refused("--ckpt_path", trained, "--trainer.max_epochs", 5, *PLAIN)
    assert "the checkpoint is of another network than Plain" in said
    (said, *_) = refused("--ckpt_path", trained, "--trainer.max_epochs", 5, "--model.schedule", "check_pieces.Stairs")
    assert "groups" in said


def test_what_has_thawed_before_it_goes_on(check: Check, fit: Command) -> None:
    words = (*FREEZE, "--trainer.callbacks.freeze", "[conv1, conv3, fc5]",
             "--trainer.callbacks.thaw", "{1: [fc5], 3: [conv3]}")  # fmt: skip
    assert fit(*words, "--trainer.max_epochs", 2).status == 0
    counts = {name: sum(each.numel() for each in getattr(LeNet(10, (1, 16, 16)), name).parameters())
              for name in ("conv1", "conv3")}  # fmt: skip
    found = check("--ckpt_path", "last", "--trainer.max_epochs", 5)
    (group,) = found["groups"]
    rest = found["parameters"] - sum(counts.values())
    assert group["learns"] == {"start": rest, "epoch 4": counts["conv3"], "never": counts["conv1"]}
    thawing = [note for note in found["notes"] if note.startswith("thawing")]
    assert thawing == ["thawing after epoch 3: conv3"]


# -- text, and what is left alone --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--model.schedule", "check_pieces.Stairs", "--trainer.max_epochs", "100"),
        ("--model.schedule", "check_pieces.Sawtooth", "--trainer.max_epochs", "-1"),
        (*FREEZE, "--trainer.callbacks.policy", "auto"),
        (*PLAIN, "--model.architecture.spare", "true", *TWO_RANKS, "ddp_find_unused_parameters_true"),
    ],
)
def test_the_text_fits_80_columns(convkit: Command, words: tuple[str, ...]) -> None:
    result = convkit("check", *SMALL, *words)
    assert result.status == 0, result.err
    lines = result.out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("network  ")
    assert lines[-1] == "found nothing that would keep this run from working"
    assert any(line.startswith("group ") for line in lines)
    assert any(line.startswith("rate") for line in lines)
    assert any(line.startswith("  sum ") for line in lines)


def test_stairs_in_text(convkit: Command) -> None:
    out = convkit("check", *SMALL, "--model.schedule", "check_pieces.Stairs", "--trainer.max_epochs", 9).out
    assert "rate of head; body in proportion: from 0.1 to 0.00625" in out
    assert "drops: to 0.05 from epoch 3; to 0.025 from epoch 5; to 0.0125 from epoch 7; to" in out
    assert "logarithmic" in out


def test_the_page_shows_what_is_printed(convkit: Command, pytestconfig: pytest.Config) -> None:
    page = (pytestconfig.rootpath / "docs" / "runs.md").read_text()
    assert f"```\n{convkit('check', '--config', 'quickstart').out}```\n" in page


def test_what_fit_does_not_train_with_is_no_obstacle(convkit: Command, tmp_path: Path) -> None:
    for words in (["--trainer.fast_dev_run", "true"], ["--print_config"], ["--trainer.logger", "CSVLogger"]):
        logger = ["--trainer.logger.save_dir", tmp_path / "logs"] if "CSVLogger" in words else []
        assert convkit("check", *SMALL, *words, *logger).status == 0
        assert files(tmp_path) == []


def test_photographs_are_neither_decoded_ahead_nor_measured(convkit: Command, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for name in ("ant", "bee"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for index in range(12):
            pixels = random.integers(0, 256, (40, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / name / f"{index}.png")
    before = files(tmp_path)
    words = ("--data", "image_folder", "--data.root", tmp_path / "images", "--data.size", 32, "--data.workers", 0,
             "--data.batch_size", 8, "--data.cache", "1GB", "--data.cache_dir", tmp_path / "cache")  # fmt: skip
    result = convkit("check", "--model.architecture", "lenet", "--model.schedule", "plateau", *words, "--json")
    assert result.status == 0, result.err
    found = json.loads(result.out)
    data = ImageFolder(root=str(tmp_path / "images"), mean=[0.5] * 3, std=[0.5] * 3)
    data.setup()
    assert found["images"] == {split: len(data.splits[split]) for split in ("train", "val")}
    assert files(tmp_path) == before
