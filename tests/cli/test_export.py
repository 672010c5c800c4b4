"""``convkit export``: one file that gives the run's logits, without the auxiliary heads and without convkit."""

import json
import subprocess
import sys

import pytest
import torch
import yaml
from torch import nn

from convkit import deployment
from convkit.architectures.googlenet import GoogLeNet
from convkit.cli.front import main
from convkit.run import Run

# A fit in this process; what its parser deprecates is not this file's affair.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

FIT = [
    "fit", "--config=quickstart", "--wandb=off", "--trainer.max_epochs=1", "--trainer.limit_train_batches=3",
    "--trainer.limit_val_batches=1", "--test_at_end=false", "--trainer.enable_progress_bar=false",
    "--trainer.log_every_n_steps=1",
]  # fmt: skip
SMALL = ["--model.architecture=googlenet", "--model.architecture.stem=small", "--model.architecture.width=0.0625"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    runs = tmp_path_factory.mktemp("runs")
    assert main([*FIT, *SMALL, f"--runs={runs}", "--name=small"]) == 0
    return runs / "small" / "1"


@pytest.fixture
def images():
    """N×1×32×32, from 0 to 1; 7 is none of the sizes that export itself checks."""
    return torch.rand(7, 1, 32, 32)


def expected(run, images, checkpoint="best"):
    opened = Run.open(run / "checkpoints" / f"{checkpoint}.ckpt")
    about = torch.load(opened.checkpoint, weights_only=True)["convkit"]
    (mean,), (std,) = about["mean"], about["std"]
    with torch.no_grad():
        return opened.model((images - mean) / std)


def exported(capsys, *arguments):
    assert main(["export", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def refused(capsys, *arguments):
    assert main(["export", *map(str, arguments)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("convkit: error: ")
    assert err.count("\n") == 1
    return err


def test_state_dict_loads_into_a_network_without_heads(run, images, tmp_path, capsys):
    row = exported(capsys, run, "--out", tmp_path / "net.pt")
    assert row["path"] == str(tmp_path / "net.pt")
    assert (row["format"], row["checkpoint"]) == ("state_dict", str(run / "checkpoints" / "best.ckpt"))
    assert row["max_abs_difference"] == 0
    file = torch.load(tmp_path / "net.pt", weights_only=True)
    about = file["convkit"]
    assert about["architecture"] == "convkit.architectures.googlenet.GoogLeNet"
    net = GoogLeNet(len(about["class_names"]), tuple(about["image_shape"]), **about["arguments"]).eval()
    net.drop_aux()
    net.load_state_dict(file["state_dict"])
    assert not any(key.startswith("aux") for key in file["state_dict"])
    assert row["parameters"] == sum(parameter.numel() for parameter in net.parameters())
    whole = Run.open(run).model.net
    heads = sum(parameter.numel() for head in (whole.aux1, whole.aux2) for parameter in head.parameters())
    assert row["parameters"] == sum(parameter.numel() for parameter in whole.parameters()) - heads
    with torch.no_grad():
        assert torch.equal(net((images - about["mean"][0]) / about["std"][0]), expected(run, images))


def test_state_dict_starts_a_fit(run, tmp_path, capsys):
    exported(capsys, run, "--out", tmp_path / "net.pt")
    weights = [f"--model.init_from={tmp_path / 'net.pt'}", "--model.architecture.aux=false"]
    assert main([*FIT, *SMALL, *weights, f"--runs={tmp_path / 'runs'}"]) == 0


@pytest.fixture(scope="module")
def program(run, tmp_path_factory):
    out = tmp_path_factory.mktemp("program") / "net.pt2"
    assert main(["export", str(run), "--format", "program", "--out", str(out)]) == 0
    return out


def test_program_takes_images_from_0_to_1_in_any_number_and_says_what_it_is(run, program, images):
    kept = {"convkit.json": ""}
    module = torch.export.load(program, extra_files=kept).module()
    logits = expected(run, images)
    for count in (1, 2, 7):
        torch.testing.assert_close(module(images[:count]), logits[:count], rtol=0, atol=1e-5)
    about = json.loads(kept["convkit.json"])
    assert about["class_names"] == [str(digit) for digit in range(10)]
    assert about["image_shape"] == [1, 32, 32]
    assert about["arguments"]["width"] == 0.0625
    assert (about["epoch"], about["step"]) == (0, 3)


@pytest.mark.slow  # a second process imports torch.export
def test_program_runs_without_convkit(program):
    code = (
        "import sys, torch\n"
        "sys.modules['convkit'] = None\n"
        f"print(tuple(torch.export.load({str(program)!r}).module()(torch.rand(3, 1, 32, 32)).shape))"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(3, 10)"


def test_default_place_is_the_run_s_and_nothing_is_overwritten(run, capsys):
    row = exported(capsys, run.parent)  # the name stands for its newest run
    assert row["path"] == str(run / "network.pt")
    before = (run / "network.pt").read_bytes()
    error = refused(capsys, run)
    assert "network.pt is there already; choose another file with --out" in error
    assert (run / "network.pt").read_bytes() == before


@pytest.mark.parametrize("by", ["name", "file"])
def test_checkpoint_is_chosen(by, run, tmp_path, capsys):
    last = run / "checkpoints" / "last.ckpt"
    row = exported(capsys, run, "--checkpoint", {"name": "last", "file": last}[by], "--out", tmp_path / "net.pt")
    assert row["checkpoint"] == str(last)


def test_a_network_that_cannot_be_reproduced_is_not_written(run, tmp_path, capsys, monkeypatch):
    """What is read back must give the network's logits."""
    save, load = deployment.FORMATS["state_dict"]

    def spoilt(*arguments):
        whole = load(*arguments)
        nn.init.normal_(whole.net.fc.bias)
        return whole

    monkeypatch.setitem(deployment.FORMATS, "state_dict", (save, spoilt))
    error = refused(capsys, run, "--out", tmp_path / "net.pt")
    assert "nothing was written" in error
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_appears_meanwhile_is_kept(run, tmp_path, capsys, monkeypatch):
    out = tmp_path / "net.pt"
    save, load = deployment.FORMATS["state_dict"]

    def slow(*arguments):
        out.write_text("another's")
        save(*arguments)

    monkeypatch.setitem(deployment.FORMATS, "state_dict", (slow, load))
    assert "is there already" in refused(capsys, run, "--out", out)
    assert out.read_text() == "another's"


def test_the_run_keeps_its_heads(run, tmp_path):
    opened = Run.open(run)
    deployment.export(opened, "state_dict", tmp_path / "net.pt")
    assert opened.model.net.aux_heads == {"aux1": "aux1", "aux2": "aux2"}
    assert opened.model.net.aux1 is not None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "export: the following arguments are required: RUN"),
        (["{run}", "--format", "programme"], "there is no format 'programme'; did you mean program?"),
        (["{run}", "--fromat", "program"], "export: unrecognized arguments: --fromat program"),
        (["{run}x"], "there is no run"),
        (["{run}", "--checkpoint", "{run}/checkpoints/first.ckpt"], "there is no checkpoint"),
        (["{run}", "--out", "{run}/nowhere/net.pt"], "cannot be written: No such file or directory; choose another"),
    ],
)
def test_mistakes_are_one_line(run, arguments, message, capsys):
    assert message in refused(capsys, *(word.format(run=run) for word in arguments))


def test_a_checkpoint_without_its_data_is_refused(run, tmp_path, capsys):
    folder = tmp_path / "run" / "checkpoints"
    folder.mkdir(parents=True)
    (tmp_path / "run" / "config.yaml").write_text((run / "config.yaml").read_text())
    contents = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    del contents["convkit"]["mean"]
    torch.save(contents, folder / "best.ckpt")
    assert "does not say what its data is: it has no mean" in refused(capsys, tmp_path / "run")


def test_help_imports_no_torch():
    code = (
        "import sys; from convkit.cli.front import main; main(['export', '--help']); assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "--format program" in done.stdout


@pytest.mark.parametrize(("config", "heads"), [("googlenet_small", ["aux1", "aux2"]), ("inception_small", ["aux"])])
def test_config_trains_with_a_curve_for_each_head(config, heads, shared, tmp_path, capsys):
    root = shared("data/FashionMNIST").parent
    arguments = [
        "fit", f"--config={config}", f"--data.root={root}", f"--runs={tmp_path}", "--wandb=off", "--data.batch_size=16",
        "--trainer.limit_train_batches=2", "--trainer.limit_val_batches=2", "--trainer.limit_test_batches=1",
        "--trainer.max_epochs=1", "--trainer.log_every_n_steps=1", "--trainer.enable_progress_bar=false",
    ]  # fmt: skip
    assert main(arguments) == 0
    opened = Run.open(tmp_path / config)
    for head in heads:
        curve = [row[f"train/aux/{head}"] for row in opened.metrics if f"train/aux/{head}" in row]
        assert len(curve) == 2
        assert all(0 < value < 10 for value in curve)
    losses = [row["train/loss"] for row in opened.metrics if "train/loss" in row]
    assert len(losses) == 2
    saved = yaml.safe_load((opened.directory / "config.yaml").read_text())
    assert saved["model"]["schedule"]["init_args"]["aux_weight"] == 0.3
