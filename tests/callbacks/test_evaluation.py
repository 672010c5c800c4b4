"""The worst mistakes of a pass over the data, against sorting them all."""

import csv
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from PIL import Image

from convkit.callbacks.evaluation import KEPT, EvaluationPages, Pages, WorstMistakes
from convkit.classifier import Classifier
from convkit.cli.front import main
from convkit.convnet import ConvNet
from convkit.datasets.arrays import Arrays
from convkit.report.mistakes import Mistake, mistakes_page
from convkit.run import Run
from convkit.schedules.plateau import Plateau

ONE_RANK = type("OneRank", (), {"world_size": 1})()


def test_the_worst_of_many_batches_are_those_of_one_sorted_list() -> None:
    worst, rows = WorstMistakes(), []
    for count in (3, 40, 1, 17, 30):
        images, targets, logits = torch.rand(count, 1, 2, 2), torch.randint(5, (count,)), 3 * torch.randn(count, 5)
        worst.update(images, targets, logits)
        for image, target, row in zip(images, targets.tolist(), logits.double().softmax(1), strict=True):
            if row.argmax() != target:
                rows.append((-row[target].log().item(), image, target, int(row.argmax()), row.max().item()))
    rows.sort(key=lambda row: -row[0])
    merged = worst.merged(ONE_RANK)
    assert len(rows) > KEPT == len(merged)
    for (score, image, target, predicted, probability), row in zip(merged, rows, strict=False):
        assert score.item() == pytest.approx(row[0], abs=1e-5)
        assert torch.equal(image, row[1])
        assert (int(target), int(predicted)) == row[2:4]
        assert probability.item() == pytest.approx(row[4], abs=1e-6)


def test_right_answers_are_no_mistakes() -> None:
    worst = WorstMistakes()
    assert worst.merged(ONE_RANK) == []
    worst.update(torch.rand(4, 1, 2, 2), torch.arange(4), 9 * torch.eye(4))
    assert worst.merged(ONE_RANK) == []
    worst.update(torch.rand(1, 1, 2, 2), torch.tensor([1]), torch.eye(4)[:1])
    assert len(worst.merged(ONE_RANK)) == 1
    worst.reset()
    assert worst.merged(ONE_RANK) == []


class Brightness(ConvNet):
    """Says which third of the grey scale an image is in; ``shift`` makes every answer wrong."""

    def __init__(self, num_classes: int, image_shape: tuple[int, int, int], shift: int = 0) -> None:
        super().__init__()
        self.shift = shift
        self.stages = {}
        self.unused = torch.nn.Linear(1, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        grey = images.mean((1, 2, 3))
        return torch.nn.functional.one_hot((torch.bucketize(grey, torch.tensor([-0.6, 0.6])) + self.shift) % 3, 3) * 4.0


@pytest.mark.parametrize(("shift", "wrong"), [(0, 0), (1, 30)], ids=["none wrong", "every image wrong"])
def test_pages_of_a_test(tmp_path: Path, shift: int, wrong: int) -> None:
    greys = np.array([0, 128, 255], dtype=np.uint8)
    y = np.arange(30) % 3
    x = np.broadcast_to(greys[y][:, None, None], (30, 8, 8)).copy()
    np.savez(tmp_path / "g.npz", x_train=x, y_train=y, x_test=x, y_test=y, class_names=["dark", "grey", "light"])
    data = Arrays(str(tmp_path / "g.npz"), batch_size=7)
    model = Classifier(lambda classes, shape: Brightness(classes, shape, shift), Plateau(), None, 3, (1, 8, 8))
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        callbacks=[EvaluationPages(tmp_path)],
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
    trainer.test(model, data, verbose=False)
    assert trainer.callback_metrics["test/top1_error"].item() == pytest.approx(100 * wrong / 30)
    assert trainer.callback_metrics["test/top5_error"].item() == 0  # of three classes
    with (tmp_path / "test_confusion.csv").open() as file:
        head, *rows = csv.reader(file)
    assert head == ["true \\ predicted", "dark", "grey", "light"]
    expected = 10 * np.roll(np.eye(3, dtype=int), shift, axis=1)
    assert [[int(cell) for cell in row[1:]] for row in rows] == expected.tolist()
    assert json.loads((tmp_path / "test_classes.json").read_text()) == dict.fromkeys(
        ("dark", "grey", "light"), 0.0 if wrong else 100.0
    )
    assert (tmp_path / "test_mistakes.png").is_file()


def test_the_images_on_the_page_are_those_of_the_file(tmp_path: Path) -> None:
    x = np.full((30, 8, 8), 255, dtype=np.uint8)
    x[:, 2:, :] = 100
    y = np.arange(30) % 3
    np.savez(tmp_path / "g.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    model = Classifier(Brightness, Plateau(), None, 3, (1, 8, 8))
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        callbacks=[EvaluationPages(tmp_path)],
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
    trainer.test(model, Arrays(str(tmp_path / "g.npz")), verbose=False)
    page = np.asarray(Image.open(tmp_path / "test_mistakes.png"))
    corner = page[40 : 40 + 128, 12 : 12 + 128]
    assert (corner[:32] == 255).all()
    assert (corner[32:] == 100).all()


FIT = ["fit", "--config=quickstart", "--data.size=16", "--data.batch_size=128", "--wandb=off", "--test_at_end=false"]


def error_in(run: str) -> float:
    """Of the confusion matrix, in percent."""
    with (Path("runs") / run / "val_confusion.csv").open(encoding="utf-8") as file:
        counts = np.array([[int(cell) for cell in row[1:]] for row in list(csv.reader(file))[1:]])
    return float(100 * (1 - counts.trace() / counts.sum()))


def best_of(run: str) -> float:
    kept = torch.load(f"runs/{run}/checkpoints/last.ckpt", weights_only=True)["callbacks"]
    [best] = [state for name, state in kept.items() if name.startswith("BestCheckpoint")]
    return float(best["best_model_score"])


def test_a_resumed_fit_shows_the_best_of_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*FIT, "--trainer.max_epochs=3", "--model.schedule.lr=0.1"]) == 0
    go_on = ["--ckpt_path=last", "--wandb=off"]
    assert main(["fit", *go_on, "--trainer.max_epochs=5", "--model.schedule.lr=9"]) == 0  # spoils it
    worse = [row["val/top1_error"] for row in Run.open("runs/quickstart/2").metrics if "val/top1_error" in row][3:]
    assert min(worse) > best_of("quickstart/1") + 1
    assert error_in("quickstart/2") == pytest.approx(best_of("quickstart/2"), abs=1e-4)
    for name in ("val_confusion.csv", "val_classes.json", "val_mistakes.png"):
        before, after = (Path("runs/quickstart") / run / name for run in ("1", "2"))
        assert before.read_bytes() == after.read_bytes(), name
    better = ["--ckpt_path=runs/quickstart/1", "--wandb=off", "--trainer.max_epochs=9", "--model.schedule.lr=0.05"]
    assert main(["fit", *better]) == 0
    assert error_in("quickstart/3") == pytest.approx(best_of("quickstart/3"), abs=1e-4)
    assert best_of("quickstart/3") < best_of("quickstart/1")
    assert main(["validate", "--ckpt_path=runs/quickstart/2/checkpoints/last.ckpt"]) == 0  # its own, not the best's
    assert error_in("quickstart/2/validate/1") == pytest.approx(worse[-1], abs=1e-4)


def test_one_that_goes_back_to_before_the_best_begins_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``best.ckpt`` of such a fit is of its own epochs, and so are the pages."""
    monkeypatch.chdir(tmp_path)
    assert main([*FIT, "--trainer.max_epochs=1", "--model.schedule.lr=0.1"]) == 0
    early = Path("runs/quickstart/1/checkpoints/early.ckpt")
    early.write_bytes((early.parent / "last.ckpt").read_bytes())
    assert main(["fit", "--ckpt_path=last", "--wandb=off", "--trainer.max_epochs=4"]) == 0
    again = Path("runs/quickstart/2/checkpoints/early.ckpt")
    again.write_bytes(early.read_bytes())
    spoilt = ["--trainer.max_epochs=2", "--model.schedule.lr=9", "--wandb=off"]
    assert main(["fit", f"--ckpt_path={again}", *spoilt]) == 0
    assert error_in("quickstart/3") == pytest.approx(best_of("quickstart/3"), abs=1e-4)


@pytest.mark.parametrize("shape", [(1, 16, 16), (3, 200, 150)], ids=["small", "larger than its tile"])
def test_what_a_checkpoint_keeps_is_what_the_page_shows(shape: tuple[int, int, int]) -> None:
    images = torch.rand(KEPT, *shape)
    pages = Pages(
        torch.randint(0, 3, (1000, 1000)),
        [Mistake(image, f"a{index}", "b", 0.25 + index / 100) for index, image in enumerate(images)],
        3,
        12.5,
    )
    kept = io.BytesIO()
    torch.save(pages.state_dict(), kept)
    found = Pages.of(torch.load(io.BytesIO(kept.getvalue()), weights_only=True))
    assert torch.equal(found.confusion, pages.confusion)
    assert (found.epoch, found.error) == (3, 12.5)
    assert mistakes_page(found.mistakes, "t").tobytes() == mistakes_page(pages.mistakes, "t").tobytes()
    sparse = pages._replace(confusion=torch.eye(1000, dtype=torch.int64))
    kept = io.BytesIO()
    torch.save(sparse.state_dict(), kept)
    assert len(kept.getvalue()) < 1.3e6


def test_a_class_whose_name_is_no_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for split in ("train", "val"):
        for number, name in enumerate((b"caf\xe9", b"tea")):
            folder = os.path.join(os.fsencode(tmp_path), b"photos", split.encode(), name)
            try:
                os.makedirs(folder)
            except OSError:
                pytest.skip("this file system wants text")
            for index in range(4):
                picture = np.full((16, 16, 3), 60 * number + 10 * index, np.uint8)
                Image.fromarray(picture).save(Path(os.fsdecode(folder)) / f"{index}.png")
    words = ["fit", "--data=image_folder", "--data.root=photos", "--data.size=16", "--data.batch_size=4"]
    assert main([*words, "--model.architecture=lenet", "--model.schedule=plateau", "--trainer.max_epochs=1"]) == 0
    [run] = Path("runs").glob("*/1")
    assert list(json.loads((run / "val_classes.json").read_text())) == ["caf\\udce9", "tea"]
    assert (run / "val_confusion.csv").read_text(encoding="utf-8").splitlines()[1].startswith("caf\\udce9,")
    assert (run / "val_mistakes.png").is_file()
    assert main(["predict", f"--ckpt_path={run}"]) == 0
    rows = (run / "predict/1/predictions.csv").read_text(encoding="utf-8").splitlines()
    assert {row.split(",")[3] for row in rows[1:]} == {"caf\\udce9", "tea"}
