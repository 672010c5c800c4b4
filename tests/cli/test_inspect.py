"""``convkit inspect`` from its words to its lines."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torchvision
from PIL import Image

from convkit.cli.front import main

LENET = ("inspect", "--architecture", "lenet", "--image_shape", "1,32,32", "--num_classes", "10")
RESNET = ("inspect", "timm", "--architecture.name", "resnet18")


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(words) == 0
    return capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert not out
    assert err.count("\n") == 1
    return err


def test_help_is_one_screen_and_needs_no_torch(capsys: pytest.CaptureFixture[str]) -> None:
    page = said(capsys, "inspect", "--help")
    assert len(page.splitlines()) <= 30
    assert max(map(len, page.splitlines())) <= 120
    code = (
        "import sys; from convkit.cli.front import main; main(['inspect', '--help']); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(said(capsys, *LENET, "--json"))
    assert found["architecture"] == "lenet"
    assert (found["parameters"], found["macs"]) == (61_706, 416_520)
    assert (found["image_shape"], found["num_classes"]) == ([1, 32, 32], 10)
    first, last = found["layers"][0], found["layers"][-1]
    assert first == {
        "name": "conv1",
        "type": "Conv2d",
        "output_shape": [6, 28, 28],
        "neurons": 4704,
        "parameters": 156,
        "macs": 6 * 25 * 28 * 28,
        "receptive_field": 5,
        "whole_image": False,
        "stride": 1,
        "padding": "valid",
        "locally_connected": {"parameters": 28 * 28 * 156, "macs": 6 * 25 * 28 * 28},
        "dense": {"parameters": 1024 * 4704 + 4704, "macs": 1024 * 4704},
    }
    assert last["output_shape"] == [10]
    assert last["whole_image"]
    assert [stage["name"] for stage in found["stages"]] == ["conv1", "conv3", "fc5", "fc6", "head"]
    assert sum(row["parameters"] for row in found["layers"]) == found["parameters"]


def test_two_numbers_where_height_and_width_differ(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(said(capsys, "inspect", "timm", "--architecture.name", "inception_v4", "--json"))
    strips = [row for row in found["layers"] if isinstance(row["receptive_field"], list)]
    assert strips
    assert all(len(row["receptive_field"]) == 2 for row in strips)


def test_the_table_fits_100_columns_and_adds_up(capsys: pytest.CaptureFixture[str]) -> None:
    lines = said(capsys, *RESNET).splitlines()
    assert max(map(len, lines)) <= 100
    assert "11,689,512" in next(line for line in lines if line.startswith("total"))
    assert lines[0].split() == [
        "layer",
        "type",
        "output",
        "neurons",
        "parameters",
        "M",
        "macs",
        "sees",
        "stride",
        "padding",
    ]
    row = next(line.split() for line in lines if line.startswith("inner.conv1"))
    assert row[1:] == ["Conv2d", "64×112×112", "802,816", "9,408", "118.0", "7", "2", "same"]
    wide = said(capsys, "inspect", "timm", "--architecture.name", "vgg16", "--compare", "local,dense").splitlines()
    assert max(map(len, wide)) <= 100


def test_stages(capsys: pytest.CaptureFixture[str]) -> None:
    lines = said(capsys, *RESNET, "--stages").splitlines()
    assert [line.split()[0] for line in lines[1:7]] == ["stage0", "stage1", "stage2", "stage3", "stage4", "head"]
    assert "435" in lines[5]


def test_compare(capsys: pytest.CaptureFixture[str]) -> None:
    page = said(capsys, *LENET, "--compare", "local")
    assert "122,304" in page  # 28·28·156
    assert "dense" not in page.splitlines()[1]
    assert "4,821,600" in said(capsys, *LENET, "--compare", "local,dense")  # 1,024·4,704 + 4,704


def test_plot(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    picture = tmp_path / "depth.png"
    assert said(capsys, *LENET, "--plot", str(picture)).endswith(f"plot: {picture}\n")
    with Image.open(picture) as image:
        assert image.size == (1200, 900)


def test_sizes_are_the_papers_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(said(capsys, *RESNET, "--json"))
    assert (found["image_shape"], found["num_classes"]) == ([3, 224, 224], 1000)
    lenet = json.loads(said(capsys, "inspect", "lenet", "--json"))
    assert (lenet["image_shape"], lenet["num_classes"]) == ([1, 32, 32], 10)
    meta = torchvision.models.ResNet18_Weights.DEFAULT.meta
    assert round(found["macs"] / 1e9, 3) == meta["_ops"]


def test_a_dotted_path_is_an_architecture(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("inspect", "--architecture", "convkit.architectures.lenet.LeNet", *LENET[3:], "--json")
    assert json.loads(said(capsys, *words))["parameters"] == 61_706


def test_options_of_the_architecture(capsys: pytest.CaptureFixture[str]) -> None:
    page = said(capsys, *LENET, "--architecture.pooling", "average", "--architecture.activation=tanh")
    assert "AvgPool2d" in page
    assert "Tanh" in page
    words = ("inspect", "timm", "--architecture.name", "mobilenetv2_100", "--architecture.options.pad_type", "same")
    assert "Conv2dSame" in said(capsys, *words)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "give --architecture NAME"),
        (("--architecture", "lenett"), "did you mean lenet?"),
        (("--architecture", "convkit.nowhere.Net"), "No module named 'convkit.nowhere'"),
        (("--architecture", "convkit.architectures.lenet.Lenet"), "no attribute 'Lenet'"),
        (("lenet", "--architecture.activaton", "relu"), "did you mean activation?"),
        (("lenet", "--architecture.activation", "gelu"), "one of relu, tanh"),
        (("lenet", "--image_shape", "3,8,8"), "is the smallest"),
        (("lenet", "--image_shape", "3,224"), "such as 3,224,224"),
        (("lenet", "--image_shape", "3,0,8"), "such as 3,224,224"),
        (("lenet", "--image_shape"), "--image_shape needs a value"),
        (("lenet", "--num_classes", "ten"), "a number from 1 on"),
        (("lenet", "--compare", "sparse"), "local and dense"),
        (("lenet", "--plot", "depth.gif"), ".png"),
        (("lenet", "--plot", "nowhere/depth.png"), "no directory nowhere"),
        (("lenet", "--jsn"), "did you mean --json?"),
        (("timm",), "Timm needs name; give --architecture.name"),
        (("timm", "--architecture.name", "resnet5O"), "did you mean resnet50?"),
    ],
)
def test_mistakes_end_in_one_line(capsys: pytest.CaptureFixture[str], words: tuple[str, ...], message: str) -> None:
    assert message in refused(capsys, "inspect", *words)
