"""Features as they form: winners against a search over all that the network saw, resumed fits, two ranks."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, Trainer
from torch import Tensor, nn

from convkit.architectures.lenet import LeNet
from convkit.callbacks.feature_evolution import FeatureEvolution
from convkit.callbacks.interruption import Interruption
from convkit.classifier import Classifier
from convkit.cli.front import main
from convkit.convnet import ConvNet
from convkit.datasets.arrays import Arrays
from convkit.datasets.augment import Augment
from convkit.datasets.image_folder import ImageFolder
from convkit.errors import UserError
from convkit.explainers.deconvnet import project
from convkit.inspection.units import units
from convkit.projections import Windows
from convkit.schedules.plateau import Plateau

STAGES = ["conv1", "conv3", "fc5", "fc6"]


class Witness(Callback):
    """Keeps every training batch, what each stage made of it, and the network at the end of each epoch."""

    def __init__(self) -> None:
        self.batches: dict[int, list[tuple[Tensor, Tensor, dict[str, Tensor]]]] = {}
        self.nets: dict[int, ConvNet] = {}
        self._now: dict[str, Tensor] = {}

    def on_train_batch_start(self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self._now = {}
        self._hooks = [
            pl_module.net.stage(stage).register_forward_hook(
                lambda module, inputs, output, stage=stage: self._now.__setitem__(stage, output.detach().clone())
            )
            for stage in pl_module.net.stages
        ]

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        for hook in self._hooks:
            hook.remove()
        positions = trainer.train_dataloader.positions.clone()  # type: ignore[union-attr]
        self.batches.setdefault(trainer.current_epoch + 1, []).append((positions, batch[0].clone(), self._now))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        self.nets[trainer.current_epoch + 1] = deepcopy(pl_module.net)

    def winners(self, epoch: int, stage: str) -> list[tuple[float, int, int, Tensor]]:
        """Value, image, place and the image itself of every map, by a plain loop."""
        found = []
        maps = self.batches[epoch][0][2][stage].shape[1]
        for channel in range(maps):
            best: tuple[float, int, int, Tensor] | None = None
            for positions, images, seen in self.batches[epoch]:
                for position, image, one in zip(positions.tolist(), images, seen[stage][:, channel], strict=True):
                    value, place = one.flatten().max().item(), int(one.flatten().argmax())
                    if best is None or (value, -position) > (best[0], -best[1]):
                        best = value, position, place, image
            assert best is not None
            found.append(best)
        return found


def fitted(
    folder: Path, data: Any, *callbacks: Callback, net: Callable[..., ConvNet] = LeNet, epochs: int = 2, **options: Any
) -> Classifier:
    model = Classifier(net, Plateau(lr=0.05), None, data.num_classes, data.image_shape, **options)
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        logger=False,
        callbacks=list(callbacks),
        default_root_dir=folder,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        val_check_interval=0.5,
    )
    trainer.fit(model, data)
    return model


@pytest.fixture
def arrays(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (75, 5, 6, 3), dtype=np.uint8)
    images = coarse.repeat(4, 1).repeat(4, 2)  # 20×24
    np.savez(tmp_path / "a.npz", x_train=images, y_train=np.arange(75) % 3, x_test=images[:9], y_test=np.arange(9) % 3)
    return tmp_path / "a.npz"


def assert_exact(folder: Path, witness: Witness, epochs: list[int], data: Any, stages: list[str]) -> None:
    mean, std = (torch.tensor(values)[:, None, None] for values in (data.mean, data.std))
    looked = units(witness.nets[1], data.image_shape, stages)
    for stage in stages:
        file, windows = np.load(folder / "evolution" / f"{stage}.npz"), Windows(looked[stage])
        assert file["epochs"].tolist() == epochs
        for index, epoch in enumerate(epochs):
            winners = witness.winners(epoch, stage)
            assert file["values"][index].tolist() == [winner[0] for winner in winners]
            assert file["images"][index].tolist() == [winner[1] for winner in winners]
            width = looked[stage].columns.count
            assert (file["rows"][index] * width + file["columns"][index]).tolist() == [winner[2] for winner in winners]
            for slot, channel in enumerate(file["maps"].tolist()):
                _, _, place, image = winners[channel]
                at, first = torch.tensor([place]), torch.tensor([0])
                pixels = ((windows.cut(image[None], first, at) * std + mean).clamp(0, 1) * 255).round()
                assert np.array_equal(file["patches"][index][slot], pixels[0].byte().numpy())
                pair = torch.tensor([divmod(place, width)])
                way = project(witness.nets[epoch], image[None], stage, torch.tensor([channel]), pair)
                way = windows.cut(way, first, at)[0]
                scaled = (way / way.abs().max().clamp(min=1e-30)).numpy()
                np.testing.assert_allclose(file["projections"][index][slot], scaled, atol=2e-3)


def hooks(net: nn.Module) -> int:
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in net.modules())


@pytest.mark.parametrize("last", [False, True], ids=["contiguous", "channels last"])
def test_the_winners_are_the_maxima_of_all_that_the_network_saw(tmp_path: Path, arrays: Path, last: bool) -> None:
    data = Arrays(str(arrays), batch_size=16, augment=Augment(pad=2, flip=True))
    witness = Witness()
    model = fitted(tmp_path, data, FeatureEvolution([1, 3], pictures=5), witness, epochs=3, channels_last=last)
    assert_exact(tmp_path, witness, [1, 3], data, STAGES)
    assert hooks(model.net) == 0
    assert sorted(path.name for path in (tmp_path / "evolution").iterdir()) == sorted(
        [*(f"{stage}{suffix}" for stage in STAGES for suffix in (".npz", ".png")), "settling.csv", "settling.png"]
    )
    rows = [line.split(",") for line in (tmp_path / "evolution/settling.csv").read_text().splitlines()]
    assert rows[0] == ["stage", "epoch", "winners", "projections", "filters"]
    conv1 = {int(row[1]): row for row in rows[1:] if row[0] == "conv1"}
    file = np.load(tmp_path / "evolution/conv1.npz")
    assert conv1[1][2:4] == ["", ""]
    assert float(conv1[3][2]) == (file["images"][1] != file["images"][0]).mean()
    before, after = (file["projections"][index].astype(float).reshape(5, -1) for index in (0, 1))
    cosines = torch.cosine_similarity(torch.from_numpy(before), torch.from_numpy(after))
    assert float(conv1[3][3]) == pytest.approx(float((1 - cosines).mean()), abs=1e-6)
    then, now = (net.state_dict()["conv1.weight"] for net in (witness.nets[1], model.net))
    assert float(conv1[1][4]) == pytest.approx(float((then - now).norm() / now.norm()), rel=1e-5)
    assert float(conv1[3][4]) == 0


def test_a_folder_of_photographs(tmp_path: Path) -> None:
    from PIL import Image

    random = np.random.default_rng(0)
    for split, count in (("train", 9), ("val", 2)):
        for label in "ab":
            place = tmp_path / "photos" / split / label
            place.mkdir(parents=True)
            for index in range(count):
                Image.fromarray(random.integers(0, 256, (30, 36, 3), dtype=np.uint8)).save(place / f"{index}.png")
    (tmp_path / "photos/train/a/4.png").write_bytes(b"no image")
    known = {"mean": [0.5] * 3, "std": [0.25] * 3}
    data = ImageFolder(str(tmp_path / "photos"), size=24, batch_size=8, workers=0, on_error="skip", **known)
    witness = Witness()
    fitted(tmp_path, data, FeatureEvolution(stages=["conv*"], pictures=[1, 4]), witness)
    assert_exact(tmp_path, witness, [1, 2], data, ["conv1", "conv3"])
    seen = torch.cat([positions for positions, _, _ in witness.batches[1]]).sort().values
    bad = [str(data.files.path(row)).endswith("4.png'") for row in data.splits["train"][:9]].index(True)
    assert seen.tolist() == [position for position in range(18) if position != bad]


# -- through the command line ---------------------------------------------------------------------------------------

FIT = ["fit", "--config=quickstart", "--data.size=16", "--data.batch_size=128", "--wandb=off", "--test_at_end=false"]
EVOLVE = [
    *FIT, "--trainer.callbacks+=FeatureEvolution", "--trainer.callbacks.epochs=[1, 2, 3]",
    "--trainer.callbacks.pictures=4",
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With ``runs/whole/1``, which was never stopped."""
    made = tmp_path_factory.mktemp("evolution")
    assert main([*EVOLVE, "--trainer.max_epochs=3", "--name=whole", f"--runs={made / 'runs'}"]) == 0
    return made


@pytest.fixture
def whole(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


def assert_same(one: str, other: str) -> None:
    first, second = Path("runs", one, "evolution"), Path("runs", other, "evolution")
    assert sorted(path.name for path in first.iterdir()) == sorted(path.name for path in second.iterdir())
    for path in first.glob("*.npz"):
        left, right = np.load(path), np.load(second / path.name)
        for field in left:
            assert np.array_equal(left[field], right[field]), (path.name, field)
    for name in ("settling.csv", "conv1.png"):
        assert (first / name).read_bytes() == (second / name).read_bytes()


@pytest.mark.parametrize("step", [5, 21], ids=["first epoch", "end of the second"])
def test_resumed_in_mid_epoch_it_is_as_if_never_stopped(
    whole: None, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    with monkeypatch.context() as patch:
        to_come = [signal.SIGTERM]

        def on_train_batch_start(self: Interruption, trainer: Trainer, *_: Any) -> None:
            if to_come and trainer.global_step == step:
                signal.raise_signal(to_come.pop())

        patch.setattr(Interruption, "on_train_batch_start", on_train_batch_start)
        assert main([*EVOLVE, "--trainer.max_epochs=3", f"--name=at-{step}"]) == 128 + signal.SIGTERM
    assert main(["fit", f"--ckpt_path=runs/at-{step}/1", "--wandb=off", "--trainer.max_epochs=3"]) == 0
    assert_same("whole/1", f"at-{step}/2")


def test_it_changes_nothing_of_the_fit(whole: None) -> None:
    assert main([*FIT, "--trainer.max_epochs=3", "--name=plain"]) == 0
    weights = [
        torch.load(f"runs/{name}/1/checkpoints/last.ckpt", weights_only=True)["state_dict"]
        for name in ("whole", "plain")
    ]
    assert all(torch.equal(value, weights[1][key]) for key, value in weights[0].items())


def test_resumed_from_a_checkpoint_of_an_epoch(whole: None) -> None:
    assert main([*EVOLVE, "--trainer.max_epochs=2", "--name=x"]) == 0
    for number, name in ((2, "best"), (3, "last")):  # the best: of the validation before the epoch's end
        words = [f"--ckpt_path=runs/x/1/checkpoints/{name}.ckpt", "--wandb=off", "--trainer.max_epochs=3"]
        assert main(["fit", *words]) == 0
        assert_same("whole/1", f"x/{number}")


@pytest.mark.slow
def test_two_ranks_find_what_one_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # A rate of next to nothing: so both train the same network, and its winners can be compared one by one.
    words = [*EVOLVE, "--data.batch_size=127", "--model.schedule.lr=1e-12", "--trainer.max_epochs=2"]
    assert main([*words, "--name=one"]) == 0
    two = ["--trainer.devices=2", "--trainer.accelerator=cpu", "--trainer.strategy=ddp", "--name=two"]
    done = subprocess.run(
        [sys.executable, "-m", "convkit.cli.front", *words, *two],
        capture_output=True, text=True, timeout=300, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    for stage in STAGES:
        left, right = (np.load(f"runs/{name}/1/evolution/{stage}.npz") for name in ("one", "two"))
        assert left["epochs"].tolist() == right["epochs"].tolist() == [1, 2]
        np.testing.assert_allclose(left["values"], right["values"], rtol=1e-4, atol=1e-6)
        # Kernels add up in another order for another number of images: of all but equal ones either may win.
        equal = left["images"] == right["images"]
        assert equal.mean() > 0.97
        pictured = equal[:, left["maps"]] & (left["rows"] == right["rows"])[:, left["maps"]]
        pictured &= (left["columns"] == right["columns"])[:, left["maps"]]
        assert pictured.mean() > 0.9
        assert np.array_equal(left["patches"][pictured], right["patches"][pictured])
        np.testing.assert_allclose(left["projections"][pictured], right["projections"][pictured], atol=1e-2)
    kept = torch.load("runs/two/1/checkpoints/best.ckpt", weights_only=True)["callbacks"]["FeatureEvolution"]
    file = np.load("runs/two/1/evolution/conv3.npz")
    assert np.array_equal(kept["stages"]["conv3"]["images"][:, 0], file["images"][kept["epoch"] - 1])
    assert kept["recorded"] == [1, 2][: kept["epoch"] - 1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--trainer.callbacks.stages=[conv2]"], "FeatureEvolution.stages: LeNet has no stage 'conv2'; did you mean"),
        (["--trainer.callbacks.pictures=[2,6]"], "stage conv1 has the maps 0 to 5, and no 6"),
        (["--trainer.callbacks.epochs=[0]"], "FeatureEvolution.epochs are counted from 1"),
        (["--trainer.callbacks.pictures=-1"], "FeatureEvolution.pictures is a number of maps"),
        (
            ["--model.architecture.activation=tanh"],
            "cannot be projected to pixels: deconvnet acts on ReLUs, and the signal met none",
        ),
        (["--model.compile=true"], "--model.compile false"),
        (["--cache_features=true", "--data.augment=null"], "with --cache_features nothing but the head runs"),
    ],
)
def test_bad_input_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*FIT, "--trainer.callbacks+=FeatureEvolution", *words]) == 2
    err = capfd.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert not Path("runs").exists()


def test_a_module_without_names_is_refused() -> None:
    with pytest.raises(UserError, match="watches a Classifier"):
        FeatureEvolution().setup(Trainer(logger=False), nn.Linear(1, 1), "fit")  # type: ignore[arg-type]
