"""Every mistake ends in one line that names the culprit and the way out, status 2, and no new run."""

# ruff: noqa: E501 - a case a line
import shlex
from pathlib import Path

import pytest
import torch

from convkit.cli.configs import shipped

SHIPPED = ", ".join(shipped())
MODEL = "model: {architecture: lenet, schedule: plateau}\n"
FILES = {
    "ok.yaml": "data: {class_path: digits, init_args: {size: 16}}\n" + MODEL + "trainer: {max_epochs: 1}\nwandb: off\n",
    "syntax.yaml": "data: digits\nmodel: [lenet\ntrainer:\n",
    "tab.yaml": "data:\n\tclass_path: digits\n",
    "twice.yaml": "data: digits\ndata: mnist\n" + MODEL,
    "list.yaml": "- data\n- model\n",
    "empty.yaml": "",
    "scalar.yaml": "digits\n",
    "name.yaml": "data: digts\n" + MODEL,
    "text_model.yaml": "data: digits\nmodel: lenet\n",
    "list_data.yaml": "data: [digits]\n" + MODEL,
    "top.yaml": "data: digits\nmodle: {architecture: lenet}\n",
    "second.yaml": "data: digits\nmodel: {architectur: lenet, schedule: plateau}\n",
    "trainer.yaml": "data: digits\ntrainer: {max_epoch: 3}\n" + MODEL,
    "third.yaml": "data: digits\nmodel:\n  architecture: lenet\n"
    "  schedule: {class_path: plateau, init_args: {momentm: 0.9}}\n",
    "fourth.yaml": "data: {class_path: digits, init_args: {augment: {padd: 3}}}\n" + MODEL,
    "no_init_args.yaml": "data: {class_path: digits, size: 16}\n" + MODEL,
    "other_class.yaml": "data: digits\nmodel:\n  architecture: {class_path: lenet, init_args: {depth: 20}}\n"
    "  schedule: plateau\n",
    "other_data.yaml": "data: {class_path: digits, init_args: {root: data}}\n" + MODEL,
    "type.yaml": "data: digits\nmodel:\n  architecture: lenet\n"
    "  schedule: {class_path: plateau, init_args: {lr: fast}}\n",
    "text.pth": "no tensors\n",
}

BEFORE_TORCH = [
    ("fot", "unknown command 'fot'; did you mean fit?"),
    ("--versoin", "unknown command '--versoin'; did you mean --version?"),
    ("plugins --jsn", "plugins has no option '--jsn'; did you mean --json?"),
    ("fit --config", f"--config needs a value: a YAML file, or one of {SHIPPED}"),
    ("fit --config quickstrat", "there is no config quickstrat; did you mean quickstart?"),
    ("fit --config ok.yml", "there is no config ok.yml; did you mean ok.yaml?"),
    ("fit --config zzz", f"there is no config zzz; choose from {SHIPPED}"),
    ("fit --config .", f"there is no config .; choose from {SHIPPED}"),
    ("fit --config syntax.yaml", "syntax.yaml, line 3, column 8: cannot be read: expected ',' or ']', but got ':'"),
    ("fit --config tab.yaml", "tab.yaml, line 2, column 1: cannot be read: found character '\\t' that cannot start"),
    ("fit --config twice.yaml", "twice.yaml, line 2, column 1: cannot be read: 'data' is given twice"),
    ("fit --config binary.yaml", "binary.yaml cannot be read: 'utf-8' codec can't decode"),
    ("fit --config list.yaml", "list.yaml holds no options; a config is a mapping such as 'data: digits'"),
    ("fit --config empty.yaml", "empty.yaml holds no options; a config is"),
    ("fit --config scalar.yaml", "scalar.yaml holds no options; a config is"),
    ("fit --config text_model.yaml", "text_model.yaml: model is a group of options, not 'lenet'"),
    ("fit --config name.yaml", "unknown dataset 'digts'; did you mean digits?"),
    ("fit --config ok.yaml --model.architecture lente", "unknown architecture 'lente'; did you mean lenet?"),
    ("fit --config ok.yaml --model.architecture digits", "'digits', which names another kind of plugin (dataset); "),
    ("fit --config ok.yaml --model.architecture convkt:lenet", "'convkt:lenet'; did you mean convkit:lenet?"),
    ("fit --config ok.yaml --model.schedule platau", "unknown schedule 'platau'; did you mean plateau?"),
    ("fit --config ok.yaml --data=", "--data needs a name: arrays, "),
    ("fit --model.schedule.help", "--model.schedule.help needs a name: "),
]
OPTIONS = [
    ("fit", "fit needs model.architecture, data; give --model.architecture, --data, "),
    ("fit --data digits --model.architecture lenet", "fit needs model.schedule; give --model.schedule, or a --config"),
    ("fit quickstart", "fit takes options only; did you mean --config quickstart?"),
    ("fit ok.yaml", "fit takes options only; did you mean --config ok.yaml?"),
    ("fit --config ok.yaml foo", "fit takes options only, and 'foo' is none; see convkit fit --help"),
    ("fit --cofig ok.yaml", "fit has no option --cofig; did you mean --config?"),
    ("fit --config ok.yaml -x", "fit has no option -x; convkit fit --help-all lists them all"),
    ("fit --config ok.yaml --print_cofnig", "fit has no option --print_cofnig; did you mean --print_config?"),
    ("fit --config ok.yaml --trainer.max_epoch 3", "no option --trainer.max_epoch; did you mean --trainer.max_epochs?"),
    ("fit --config ok.yaml --data.batchsize 3", "data: Digits has no option 'batchsize'; did you mean batch_size?"),
    ("fit --config ok.yaml --model.schedule.rl 3", "model.schedule: Plateau has no option 'rl'; choose from aux_weight"),
    ("fit --config ok.yaml --model.num_classes 3", "model.num_classes is what the data says it is, and cannot be given"),
    ("fit --config ok.yaml --model lenet", "model is a group of options and cannot be 'lenet'; did you mean --model.a"),
    ("fit --config top.yaml", "fit has no option modle.architecture; did you mean model.architecture?"),
    ("fit --config second.yaml", "fit has no option model.architectur; did you mean model.architecture?"),
    ("fit --config trainer.yaml", "fit has no option trainer.max_epoch; did you mean trainer.max_epochs?"),
    ("fit --config third.yaml", "model.schedule: Plateau has no option 'momentm'; did you mean momentum?"),
    ("fit --config fourth.yaml", "data.augment: Augment has no option 'padd'; did you mean pad?"),
    ("fit --config no_init_args.yaml", "data: its options belong under init_args, beside class_path"),
    ("fit --config list_data.yaml", "data cannot be ['digits']; wanted a name, or class_path with init_args"),
    ("fit --config other_class.yaml", "model.architecture: LeNet has no option 'depth'; choose from activation, pooling"),
    ("fit --config other_data.yaml", "data: Digits has no option 'root'; choose from augment, batch_size, fraction, per_class, seed, "),
    ("fit --config type.yaml", "model.schedule.lr cannot be 'fast'; wanted float"),
    ("fit --config ok.yaml --data.batch_size many", "data.batch_size cannot be 'many'; wanted int"),
    ("fit --config ok.yaml --data.batch_size 1.5", "data.batch_size cannot be '1.5'; wanted int"),
    ("fit --config ok.yaml --data.augment.pad x", "data.augment.pad cannot be 'x'; wanted int"),
    ("fit --config ok.yaml --data.augment 3", "data.augment cannot be '3'; wanted a name, or class_path with init_args; "
     "its options are pad, flip"),
    ("fit --config ok.yaml --trainer.max_epochs two", "trainer.max_epochs cannot be 'two'; wanted int, null"),
    ("fit --config ok.yaml --trainer.logger 5", "trainer.logger cannot be '5'; wanted a name, or class_path with"),
    ("fit --config ok.yaml --test_at_end maybe", "test_at_end cannot be 'maybe'; wanted bool"),
    ("fit --config ok.yaml --wandb on", "wandb cannot be 'on'; wanted one of off, offline, online"),
    ("fit --config ok.yaml --model.architecture.activation rleu", "cannot be 'rleu'; wanted one of relu, tanh"),
    ("fit --config ok.yaml --model.architecture torch.nn.Linear", "torch.nn.Linear is no ConvNet; convkit plugins lists"),
    ("fit --config ok.yaml --data torch.nn.Linear", "data: torch.nn.Linear is no ImageData; convkit plugins lists"),
    ("fit --config ok.yaml --model.architecture no.such.Net", "no.such.Net cannot be used: ModuleNotFoundError: No module named 'no'; "),
    ("fit --config ok.yaml --model.architecture convkit.convnet.Nett", "convkit.convnet.Nett cannot be used: AttributeError: module "),
    ("fit --config ok.yaml --name a/b", "--name is the name of a folder under runs, and cannot be 'a/b'"),
    ("fit --config ok.yaml --name ..", "--name is the name of a folder under runs, and cannot be '..'"),
]  # fmt: skip
VALUES = [
    ("fit --config ok.yaml --data.batch_size 0", "data.batch_size is a number of images and cannot be 0"),
    ("fit --config ok.yaml --data.val_fraction 1.5", "data.val_fraction is a share from 0 up to 1, not 1.5"),
    ("fit --config ok.yaml --data.augment.pad -1", "augment.pad is a number of pixels and cannot be -1"),
    ("fit --config ok.yaml --model.architecture resnet_cifar --model.architecture.depth 21", "not 21; try 20"),
    ("fit --config ok.yaml --trainer.accelerator cpuu", "`accelerator='cpuu'`. Available names are: "),
    ("fit --config ok.yaml --trainer.strategy dpp", "`strategy='dpp'`"),
    ("fit --config ok.yaml --trainer.devices 0", "devices='0'"),
    ("fit --config ok.yaml --data arrays", "Arrays needs path; give --data.path"),
    ("fit --config ok.yaml --data arrays --data.path no.npz", "there is no file no.npz; set --data.path to your .npz"),
    (
        "fit --config ok.yaml --data mnist --data.size 28 --data.root ok.yaml",
        "MNIST is not under 'ok.yaml' (MNIST/raw/*.gz)",
    ),
    ("fit --config ok.yaml --model.schedule.monitor val/top1", "watches 'val/top1', which nothing logs; did you mean "),
    ("fit --config ok.yaml --trainer.limit_val_batches 0", "watches 'val/top1_error', and there is no validation"),
    (
        "fit --config ok.yaml --trainer.max_epochs 0",
        "nothing is left to train: trainer.max_epochs is 0; give --trainer",
    ),
    ("fit --config ok.yaml --model.init_from no.pth", "there is no checkpoint or run no.pth"),
    ("fit --config ok.yaml --model.init_from text.pth", "text.pth is not a checkpoint of tensors and plain values"),
    ("fit --config ok.yaml --model.init_from .", ". is not a run: it has no config.yaml"),
    (
        "fit --config ok.yaml --model.init_from damaged.safetensors",
        "damaged.safetensors is not a readable safetensors file",
    ),
    ("fit --config ok.yaml --model.init_from evil.pth", "evil.pth is not a checkpoint of tensors and plain values"),
    ("fit --config ok.yaml --model.init_from weights.pth", "do not fit LeNet: 7 missing: conv1.bias, conv3.weight, "),
    (
        "fit --config ok.yaml --model.init_from timm:resnett50",
        "timm has no weights 'resnett50'; did you mean timm:resnet50?",
    ),
    (
        "fit --config ok.yaml --model.fresh head",
        "model.fresh is what model.init_from does not load, and there is none; give ",
    ),
    ("fit --config ok.yaml --runs ok.yaml", "no run can be made under ok.yaml/ok: Not a directory"),
]
CHECKPOINTS = [
    ("validate", "validate needs a trained network; give --ckpt_path RUN, such as --ckpt_path last"),
    ("test --config ok.yaml", "test needs weights; give --ckpt_path RUN or --model.init_from FILE"),
    ("predict --config ok.yaml", "predict needs weights; give --ckpt_path RUN or --model.init_from FILE"),
    ("fit --config ok.yaml --ckpt_path last", "there is no last checkpoint under runs/ok; name a file or a run"),
    ("fit --config ok.yaml --ckpt_path lst", "there is no checkpoint or run lst; did you mean last?"),
    ("fit --config ok.yaml --ckpt_path text.pth", "text.pth is not a checkpoint of tensors and plain values"),
    ("fit --config ok.yaml --ckpt_path .", ". is not a run: it has no config.yaml"),
    ("fit --config ok.yaml --ckpt_path weights.pth", "weights.pth is not a checkpoint of a fit; start from weights "),
    ("test --ckpt_path {run}/checkpoints/lst.ckpt", "did you mean {run}/checkpoints/last.ckpt?"),
    ("test --ckpt_path {run} --runs {run}/../.. --ckpt_path {run}/../7", "there is no checkpoint or run {run}/../7"),
    ("test --ckpt_path {run} --model.architecture resnet_cifar", "is of another network than ResNetCifar: 96 missing: "),
    ("test --ckpt_path {run} --data.size 20", "another network than LeNet: 1 of another shape: fc5.weight is 120×16, "),
    ("fit --ckpt_path {run} --trainer.max_epochs 2", "nothing is left to train: {run}/checkpoints/last.ckpt is at epoch 2"),
    ("fit --config ok.yaml --model.architecture resnet_cifar --model.init_from {run}/checkpoints/best.ckpt",
     "the weights in {run}/checkpoints/best.ckpt do not fit ResNetCifar: 94 missing: bn1.weight, "),
    ("fit --config ok.yaml --model.init_from {run} --model.fresh [fc9]", "model.fresh: 'fc9' is no stage, module or parameter of LeNet"),
    ("fit --config ok.yaml --model.init_from {run} --data.size 20",
     "fc5.weight is 120×16, wanted 120×64; --model.fresh '[fc5]' starts the rest anew"),
    ("test --config ok.yaml --model.init_from {run} --model.fresh head", "{run} leaves untrained: head (fc7.weight, fc7.bias); "),
    ("predict --ckpt_path {run} --trainer.devices 2 --trainer.accelerator cpu",
     "predict writes one file in the images' order; run it with --trainer.devices 1"),
]  # fmt: skip


CASES = [
    pytest.param(*each, id=each[0].replace("--config ok.yaml ", ""))
    for each in BEFORE_TORCH + OPTIONS + VALUES + CHECKPOINTS
]


@pytest.fixture(autouse=True)
def _files() -> None:
    for name, text in FILES.items():
        Path(name).write_text(text)
    Path("binary.yaml").write_bytes(bytes(range(256)))
    torch.save({"conv1.weight": torch.zeros(6, 1, 5, 5)}, "weights.pth")
    torch.save({"state_dict": Path.touch}, "evil.pth")
    Path("damaged.safetensors").write_bytes(bytes(range(256)))


@pytest.mark.parametrize(("line", "message"), CASES)
def test_one_line(convkit, trained: Path, line: str, message: str) -> None:
    status, _, err = convkit(*shlex.split(line.format(run=trained)))
    assert status == 2, err
    assert err.startswith("convkit: error: ")
    assert err.count("\n") == 1
    assert message.format(run=trained) in err
    assert "Traceback" not in err
    assert not Path("runs").exists()


def test_what_lies_in_the_way_stays(convkit) -> None:
    Path("runs").write_text("a file")
    status, _, err = convkit("fit", "--config", "ok.yaml")
    assert (status, err) == (2, "convkit: error: no run can be made under runs/ok: Not a directory\n")
    assert Path("runs").read_text() == "a file"


def test_a_failed_fit_leaves_earlier_runs_alone(convkit) -> None:
    assert convkit("fit", "--config", "ok.yaml").status == 0
    before = {path: path.stat().st_mtime_ns for path in Path("runs").rglob("*")}
    assert convkit("fit", "--config", "ok.yaml", "--model.schedule.monitor", "val/acc").status == 2
    assert {path: path.stat().st_mtime_ns for path in Path("runs").rglob("*") if path.name != "ok"}.keys() <= set(
        before
    )
    assert Path("runs/ok/latest").readlink() == Path("1")
    assert sorted(path.name for path in Path("runs/ok").iterdir()) == ["1", "latest"]
