"""mixup and CutMix: what becomes of images and labels, and that a step draws the same whenever it is taken."""

from pathlib import Path

import pytest
import torch
from tiny_fit import classifier, fit
from torch import Tensor

from convkit.datasets.digits import Digits
from convkit.schedules.cosine import Cosine
from convkit.schedules.plateau import Plateau

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers.*", "ignore:.*treespec, LeafSpec.*")


def batch(count: int = 6) -> tuple[Tensor, Tensor]:
    """Image i is i everywhere, and of class i."""
    targets = torch.arange(count)
    return targets.float().view(-1, 1, 1, 1).expand(count, 1, 20, 20).contiguous(), targets


def shares(targets: Tensor) -> Tensor:
    """Of each image its own, N."""
    return targets.diagonal()


def test_without_them_the_batch_is_the_same_objects() -> None:
    images, targets = batch()
    assert Plateau().mixed(images, targets, 6) == (images, targets)


@pytest.mark.parametrize("seed", range(3))
def test_mixup_blends_images_as_it_blends_labels(seed: int) -> None:
    torch.manual_seed(seed)
    images, targets = batch()
    mixed, labels = Plateau(mixup=1.0).mixed(images, targets, 10)
    torch.testing.assert_close(labels.sum(1), torch.ones(6))
    assert labels.shape == (6, 10)
    assert ((labels > 0).sum(1) == 2).all()
    # What an image is, from what its label says.
    expected = labels @ torch.arange(10.0)
    torch.testing.assert_close(mixed, expected.view(-1, 1, 1, 1).expand_as(mixed))
    assert torch.equal(images, batch()[0])  # the data's own are left alone


@pytest.mark.parametrize("seed", range(5))
def test_cutmix_pastes_a_rectangle_whose_area_is_in_the_label(seed: int) -> None:
    torch.manual_seed(seed)
    images, targets = batch()
    mixed, labels = Plateau(cutmix=1.0).mixed(images, targets, 6)
    own = (mixed == images).float().mean((1, 2, 3))
    torch.testing.assert_close(shares(labels), own)
    torch.testing.assert_close(labels.sum(1), torch.ones(6))
    rows, columns = (mixed[0, 0] != images[0, 0]).any(1), (mixed[0, 0] != images[0, 0]).any(0)
    assert (rows.sum() * columns.sum()).item() == (mixed[0, 0] != images[0, 0]).sum().item()


def test_of_both_a_coin_decides() -> None:
    images, targets = batch()
    pasted = []
    for seed in range(200):
        torch.manual_seed(seed)
        mixed, _ = Plateau(mixup=1.0, cutmix=1.0).mixed(images, targets, 6)
        pasted.append(bool((mixed == mixed.round()).all()))
    assert sum(pasted) == pytest.approx(100, abs=30)  # binomial: 100 ± 7, four deviations


def test_the_shares_are_beta_distributed() -> None:
    images, targets = batch()
    found = torch.stack([shares(Plateau(mixup=0.4).mixed(images, targets, 6)[1])[0] for _ in range(2000)])
    expected = torch.distributions.Beta(0.4, 0.4)
    assert found.mean().item() == pytest.approx(0.5, abs=4 * (expected.variance / 2000).sqrt().item())
    assert found.var().item() == pytest.approx(expected.variance.item(), abs=0.02)


def test_every_part_of_every_step_draws_anew_and_the_same_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PL_GLOBAL_SEED", "5")
    seen: list[float] = []

    class Watched(Cosine):
        def mixed(self, images: Tensor, targets: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
            mixed = super().mixed(images, targets, num_classes)
            seen.append(mixed[1][mixed[1] > 0].min().item())  # the lesser share
            return mixed

    fits = []
    for attempt in ("first", "second"):
        fit(
            tmp_path / attempt,
            classifier(Watched(mixup=1.0)),
            max_epochs=1,
            accumulate_grad_batches=2,
            num_sanity_val_steps=0,
        )
        fits.append(seen.copy())
        seen.clear()
        torch.rand(17)  # something else that draws
    assert fits[0] == fits[1]
    assert len(fits[0]) == len(set(fits[0])) == 11  # two batches make a step, and are mixed each its own way


def test_evaluation_sees_plain_images(tmp_path: Path) -> None:
    seen: list[bool] = []

    class Watched(Cosine):
        def mixed(self, images: Tensor, targets: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
            seen.append(model.training)
            return super().mixed(images, targets, num_classes)

    model = classifier(Watched(mixup=1.0))
    trainer = fit(tmp_path, model, max_epochs=1)
    trainer.test(model, Digits(size=8, batch_size=128), verbose=False)
    assert seen == [True] * 11
