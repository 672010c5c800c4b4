"""The images that excite each map most, against a search by hand; the pages and the table of the command."""

import csv
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from convkit import Classifier, Run
from convkit.analyses.patches import pictures, search
from convkit.architectures.lenet import LeNet
from convkit.architectures.resnet_cifar import ResNetCifar
from convkit.cli.front import main
from convkit.convnet import ConvNet
from convkit.datasets.arrays import Arrays
from convkit.datasets.base import ImageData
from convkit.datasets.image_folder import ImageFolder
from convkit.errors import UserError
from convkit.explainers.deconvnet import project
from convkit.taps import taps

Row = tuple[int, int, float, int, int, int]


@pytest.fixture
def data(tmp_path: Path) -> Arrays:
    """90 training and 40 test images, a few of them twice: equal activations."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (130, 5, 6, 3), dtype=np.uint8).repeat(4, 1).repeat(4, 2)
    images[100:110] = images[110:120]
    labels = np.arange(130) % 3
    np.savez(tmp_path / "a.npz", x_train=images[:90], y_train=labels[:90], x_test=images[90:], y_test=labels[90:])
    made = Arrays(str(tmp_path / "a.npz"), batch_size=16)
    made.setup()
    return made


def model(net: type[ConvNet], data: ImageData, **options: object) -> Classifier:
    return Classifier(lambda classes, shape: net(classes, shape, **options), None, None, 3, data.image_shape)  # type: ignore[call-arg]


def by_hand(classifier: Classifier, data: Arrays, stage: str, top: int, split: str) -> list[Row]:
    """Channel, rank, value, image, row and column, from all activations at once."""
    images, _ = data.splits[split]
    mean, std = (torch.tensor(values)[:, None, None] * 255 for values in (data.mean, data.std))
    kept: list[torch.Tensor] = []
    net = classifier.net.eval()
    with torch.no_grad(), taps(net, [stage], lambda name, output: kept.append(output)):
        for batch in images.split(16):
            net((batch.float() - mean) * std.reciprocal())
    maps = torch.cat(kept)
    maps = maps if maps.ndim == 4 else maps[:, :, None, None]
    rows: list[Row] = []
    for channel in range(maps.shape[1]):
        entries = []
        for image, one in enumerate(maps[:, channel]):
            place = int(np.flatnonzero(one.flatten().numpy() == one.max().item())[0])
            entries.append((-one.max().item(), image, *divmod(place, one.shape[1])))
        for rank, (value, image, row, column) in enumerate(sorted(entries)[:top], 1):
            rows.append((channel, rank, -value, image, row, column))
    return rows


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize(("net", "stages"), [(LeNet, ["conv1", "conv3", "fc6"]), (ResNetCifar, ["conv1", "conv3"])])
def test_as_a_search_by_hand_for_every_map(data: Arrays, net: type[ConvNet], stages: list[str], split: str) -> None:
    classifier = model(net, data, **({"depth": 8} if net is ResNetCifar else {}))
    seen: list[int] = []
    found = search(classifier, data, stages, 9, split, seen.append)
    assert classifier.training
    assert seen[-1] == len(data.splits[split].images)
    ties = 0
    for stage in stages:
        columns = ("channel", "rank", "value", "image", "row", "column")
        one = found[stage]
        rows = [tuple(row[name] for name in columns) for row in one.rows(range(one.units.maps))]
        expected = by_hand(classifier, data, stage, 9, split)
        assert [row[:2] + row[3:] for row in rows] == [row[:2] + row[3:] for row in expected]
        assert [row[2] for row in rows] == pytest.approx([row[2] for row in expected], rel=1e-5, abs=1e-6)
        ties += sum(a[0] == b[0] and a[2] == b[2] for a, b in pairwise(rows))
    assert ties or split == "train"


def test_fewer_images_than_asked_for(data: Arrays) -> None:
    classifier = model(LeNet, data)
    found = search(classifier, data, ["conv1"], 20, "val")["conv1"]
    count = len(data.splits["val"].images)
    assert count < 20
    assert len(list(found.rows(range(6)))) == 6 * count
    (one,) = pictures(classifier, data, found, [2], "val")
    assert len(one.patches) == len(one.projections) == count


def test_the_pictures_are_those_of_the_table(data: Arrays) -> None:
    classifier = model(LeNet, data)
    found = search(classifier, data, ["conv3"], 4, "test")["conv3"]
    images = data.splits["test"].images.float() / 255
    mean, std = (torch.tensor(values)[:, None, None] for values in (data.mean, data.std))
    for one in pictures(classifier, data, found, range(16), "test"):
        for rank, row in enumerate(found.rows([one.channel])):
            top, left, bottom, right = (row[side] for side in ("top", "left", "bottom", "right"))
            whole = images[row["image"]]
            inside = one.patches[rank][:, one.seen[rank]]
            assert torch.allclose(inside, whole[:, top:bottom, left:right].flatten(1), atol=1e-5)
            place = torch.tensor([[row["row"], row["column"]]])
            way = project(classifier.net, ((whole - mean) / std)[None], "conv3", torch.tensor([one.channel]), place)[0]
            box = way[:, top:bottom, left:right]
            assert torch.allclose(one.projections[rank][:, one.seen[rank]], box.flatten(1), atol=1e-5)
            way[:, top:bottom, left:right] = 0
            assert not way.any()  # nothing comes back from outside of the field


def test_files_that_are_left_out_do_not_shift_the_images(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for split, count in (("train", 3), ("val", 9)):
        for label in "ab":
            place = tmp_path / split / label
            place.mkdir(parents=True)
            for index in range(count):
                Image.fromarray(random.integers(0, 256, (30, 36, 3), dtype=np.uint8)).save(place / f"{index}.png")
    known = {"size": 24, "batch_size": 4, "workers": 0, "mean": [0.5] * 3, "std": [0.25] * 3}
    whole = ImageFolder(str(tmp_path), **known)
    whole.setup()
    classifier = model(LeNet, whole)
    before = search(classifier, whole, ["conv3"], 18)["conv3"]
    every = torch.cat([images for images, _ in whole.val_dataloader()])
    (tmp_path / "val/a/4.png").write_bytes(b"no image")
    data = ImageFolder(str(tmp_path), on_error="skip", **known)
    data.setup()
    after = search(classifier, data, ["conv3"], 18)["conv3"]
    for left, right in zip(before.strongest.images.tolist(), after.strongest.images.tolist(), strict=True):
        assert [image for image in left if image != 4] == right[:17]
        assert right[17] == -1
    some = torch.tensor([17, 0, 5])
    assert torch.equal(data.pick("val", some), every[some])


class Plain(ImageData):
    """A plugin's data set that has nothing but loaders."""

    def __init__(self, inner: Arrays) -> None:
        super().__init__()
        self.num_classes, self.image_shape, self.class_names = 3, inner.image_shape, inner.class_names
        self.mean, self.std = inner.mean, inner.std
        self.inner = inner

    def val_dataloader(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        return list(self.inner.val_dataloader())


def test_a_data_set_with_nothing_but_loaders(data: Arrays) -> None:
    classifier, plain = model(LeNet, data), Plain(data)
    left, right = (search(classifier, one, ["conv1"], 3)["conv1"] for one in (data, plain))
    assert torch.equal(left.strongest.images, right.strongest.images)
    for one, other in zip(pictures(classifier, data, left, range(6), "val"),
                          pictures(classifier, plain, right, range(6), "val"), strict=True):  # fmt: skip
        assert torch.equal(one.patches, other.patches)
    with pytest.raises(UserError, match=r"^Plain cannot give its training images without augmentation$"):
        search(classifier, plain, ["conv1"], 3, "train")


# -- the command ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("patches") / "runs"
    words = "--config quickstart --data.size 16 --wandb off --trainer.max_epochs 1 --test_at_end false --runs"
    assert main(["fit", *words.split(), str(runs)]) == 0
    return runs / "quickstart" / "1"


def test_the_folder_of_the_command(run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    capfd.readouterr()
    out = tmp_path / "out"
    words = ["patches", str(run), "--stage", "conv*", "--channels", "5,0", "--top", "4", "--split", "test"]
    assert main([*words, "--out", str(out), "--json"]) == 0
    done = json.loads(capfd.readouterr().out)
    assert sorted(path.name for path in out.iterdir()) == ["conv1-1.png", "conv3-1.png", "filters.png", "patches.csv"]
    with (out / "patches.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["stage"], row["channel"], row["rank"]) for row in rows] == [
        (stage, channel, str(rank)) for stage in ("conv1", "conv3") for channel in "05" for rank in range(1, 5)
    ]
    printed = [row for stage in done["stages"] for row in stage["patches"]]
    assert [{key: str(value) for key, value in row.items()} for row in printed] == rows
    opened = Run.open(run)
    opened.data.setup()
    found = search(opened.model, opened.data, ["conv3"], 4, "test")["conv3"]
    assert [row for row in printed if row["stage"] == "conv3"] == list(found.rows([0, 5], opened.data.labels("test")))
    page = np.asarray(Image.open(out / "conv3-1.png"))
    assert page.std() > 10
    assert main([*words, "--out", str(out)]) == 2
    assert capfd.readouterr().err == f"convkit: error: {out} is there already; give --out another folder\n"


def test_what_it_tells(run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    capfd.readouterr()
    assert main(["patches", str(run), "--stage", "conv1", "--out", str(tmp_path / "o")]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[0].startswith("val: 143 images, ")
    assert lines[1].startswith("conv1      6 maps, each unit sees 5×5 pixels; strongest ")
    assert lines[-1] == f"patches: {tmp_path / 'o'}"


def test_a_network_without_relu_has_patches_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = "--config quickstart --data.size 16 --wandb off --trainer.max_epochs 1 --test_at_end false"
    assert main(["fit", *words.split(), "--model.architecture.activation", "tanh"]) == 0
    capfd.readouterr()
    assert main(["patches", "runs/quickstart", "--stage", "conv1", "--top", "4", "--out", "o"]) == 0
    alone = "           patches alone: on its way to the pixels the deconvnet meets no ReLU"
    assert alone in capfd.readouterr().out.splitlines()
    with Image.open("o/conv1-1.png") as page:
        assert page.height > 100
    assert main(["patches", "runs/quickstart", "--top", "1", "--out", "every", "--json"]) == 0
    stages = json.loads(capfd.readouterr().out)["stages"]
    assert {stage["stage"]: stage["projections"] for stage in stages} == dict.fromkeys(
        ("conv1", "conv3", "fc5", "fc6"), False
    )
    assert main(["patches", "runs/quickstart", "--stage", "conv1", "--projections", "--out", "no"]) == 2
    err = capfd.readouterr().err
    assert err.startswith("convkit: error: stage conv1 cannot be projected to pixels: deconvnet acts on ReLUs")
    assert err.count("\n") == 1
    assert not Path("no").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--out o --stage conv9", "--stage: LeNet has no stage 'conv9'; did you mean conv"),
        ("--out o --stage ,", "--stage is empty; LeNet has conv1, conv3, fc5, fc6, head"),
        ("--out o --channels 16 --stage conv3", "--channels: stage conv3 has the maps 0 to 15, and no 16"),
        ("--out o --channels x", "--channels is a list of feature maps such as 0,3,7, not 'x'"),
        ("--out o --channels=", "--channels is a list of feature maps such as 0,3,7, not ''"),
        ("--out o --top 0", "--top is a number of images from 1 on, not '0'"),
        ("--out o --split vla", "--split is one of train, val, test, not 'vla'; did you mean val?"),
        ("--out no/o", "there is no folder no to make o in"),
        ("", "patches: the following arguments are required: --out; see convkit patches --help"),
        ("--out o --model tanh", "patches: unrecognized arguments: --model tanh; see convkit patches --help"),
    ],
)
def test_bad_input_is_one_line(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], words: str,
    message: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main(["patches", str(run), *words.split()]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith(f"convkit: error: {message}")
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_an_error_in_the_work_leaves_no_folder(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convkit.cli.patch_search.search", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(["patches", str(run), "--out", str(tmp_path / "o")])
    assert list(tmp_path.iterdir()) == []
