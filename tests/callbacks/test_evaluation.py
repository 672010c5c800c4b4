"""The worst mistakes of a pass over the data, against sorting them all."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer

from convkit.callbacks.evaluation import KEPT, EvaluationPages, WorstMistakes
from convkit.classifier import Classifier
from convkit.convnet import ConvNet
from convkit.datasets.arrays import Arrays
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
    from PIL import Image

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
