"""The LightningModule against a training loop written by hand, and what it costs beside one."""

import math
from functools import partialmethod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the field's own name
from torch.utils._python_dispatch import TorchDispatchMode

from convkit import ConvNet, Outputs
from convkit.architectures.resnet_cifar import ResNetCifar
from convkit.classifier import Classifier
from convkit.datasets.digits import Digits
from convkit.errors import UserError
from convkit.run import Run
from convkit.schedules.plateau import Plateau

SHAPE = (1, 8, 8)
COLOUR = (3, 16, 16)


class TwoHeads(ConvNet):
    """A dense network with an auxiliary head on its first layer."""

    def __init__(self, num_classes: int, image_shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.stages, self.aux_heads = {"fc1": "first", "head": "last"}, {"early": "early"}
        self.first, self.last = nn.Linear(math.prod(image_shape), 16), nn.Linear(16, num_classes)
        self.early = nn.Linear(16, num_classes)

    def forward(self, images: Tensor) -> Tensor | Outputs:
        hidden = self.first(images.flatten(1)).relu()
        logits = self.last(hidden)
        return Outputs(logits, {"early": self.early(hidden)}) if self.training and self.early else logits


def classifier(architecture: Any = TwoHeads, **schedule: Any) -> Classifier:
    torch.manual_seed(1)
    return Classifier(architecture, Plateau(**{"lr": 0.05, "aux_weight": 0.3, **schedule}), None, 10, SHAPE)


def trainer(folder: Path, *callbacks: Callback, **options: Any) -> Trainer:
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    logger = CSVLogger(str(folder), name="", version="")
    settings = {"max_epochs": 1, "accelerator": "cpu", "logger": logger, "log_every_n_steps": 1, **quiet, **options}
    return Trainer(callbacks=list(callbacks), **settings)


@pytest.mark.filterwarnings("ignore:.*does not have many workers.*", "ignore:.*treespec, LeafSpec.*")
def test_three_steps_are_those_of_a_plain_loop(tmp_path: Path) -> None:
    model = classifier()
    plain = TwoHeads(10, SHAPE)
    plain.load_state_dict(model.net.state_dict())
    data = Digits(size=8, batch_size=64)
    trainer(tmp_path, max_steps=3).fit(model, data)

    images_and_targets = Digits(size=8, batch_size=64)
    images_and_targets.setup()
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    expected = []
    for (images, targets), _ in zip(images_and_targets.train_dataloader(), range(3), strict=False):
        logits, aux = plain(images)
        early = F.cross_entropy(aux["early"], targets)
        loss = F.cross_entropy(logits, targets) + 0.3 * early
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        expected.append((loss.item(), early.item()))

    rows = [row for row in Run(tmp_path).metrics if "train/loss" in row]
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert [row["lr/all"] for row in rows] == [0.05] * 3
    for row, (loss, early) in zip(rows, expected, strict=True):
        assert row["train/loss"] == pytest.approx(loss, abs=1e-5)
        assert row["train/aux/early"] == pytest.approx(early, abs=1e-5)
    for key, value in plain.state_dict().items():
        torch.testing.assert_close(model.net.state_dict()[key], value, atol=1e-6, rtol=0)


@pytest.mark.filterwarnings("ignore:.*does not have many workers.*", "ignore:.*treespec, LeafSpec.*")
def test_what_is_logged_is_the_mean_since_the_last_row(tmp_path: Path) -> None:
    for name, every in (("each", 1), ("fourth", 4)):
        trainer(tmp_path / name, log_every_n_steps=every).fit(classifier(), Digits(size=8, batch_size=128))
    each, fourth = (
        {row["step"]: row["train/loss"] for row in Run(tmp_path / name).metrics if "train/loss" in row}
        for name in ("each", "fourth")
    )
    assert list(each) == list(range(1, 12))
    assert list(fourth) == [4, 8, 11]  # and the rest of the epoch
    for first, last in ((1, 4), (5, 8), (9, 11)):
        mean = np.mean([each[step] for step in range(first, last + 1)])
        assert fourth[last] == pytest.approx(mean, abs=1e-6)


class Reads(TorchDispatchMode):
    """Counts the times that a value is fetched from the device to the host."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.is_nonzero.default):
            self.count += 1
        return func(*args, **(kwargs or {}))


class CountReads(Callback):
    """Of each step of training, from its start to the start of the next, and of each batch of validation."""

    def __init__(self) -> None:
        self.training: list[int] = []
        self.validation: list[int] = []
        self._mode: Reads | None = None

    def _start(self, kept: list[int] | None) -> None:
        if self._mode is not None:
            self._mode.__exit__(None, None, None)
            self._kept.append(self._mode.count)
        self._mode, self._kept = (Reads(), kept) if kept is not None else (None, [])
        if self._mode is not None:
            self._mode.__enter__()

    def on_train_batch_start(self, *_: Any) -> None:
        self._start(self.training)

    def on_validation_start(self, *_: Any) -> None:
        self._start(None)

    def on_validation_batch_start(self, *_: Any) -> None:
        self._start(self.validation)

    def on_validation_epoch_end(self, *_: Any) -> None:
        self._start(None)

    def on_train_end(self, *_: Any) -> None:
        self._start(None)


@pytest.mark.filterwarnings("ignore:.*does not have many workers.*", "ignore:.*treespec, LeafSpec.*")
def test_no_step_waits_for_the_device(tmp_path: Path) -> None:
    counts = CountReads()
    fit = trainer(tmp_path, counts, log_every_n_steps=5, num_sanity_val_steps=0)
    fit.fit(classifier(), Digits(size=8, batch_size=128, val_fraction=0.3))
    assert len(counts.training) == 8
    # Steps 1-4, 6 and 7 log nothing; the fifth reads the two losses, and so does the last.
    assert [counts.training[step - 1] for step in (1, 2, 3, 4, 6, 7)] == [0] * 6
    assert counts.training[5 - 1] > 0
    assert counts.validation[:-1] == [0] * (len(counts.validation) - 1)


@pytest.mark.filterwarnings("ignore:.*does not have many workers.*", "ignore:.*treespec, LeafSpec.*")
def test_validation_may_skip_epochs(tmp_path: Path) -> None:
    model = classifier(patience=0, threshold=100.0, max_drops=2)
    fit = trainer(tmp_path, max_epochs=9, check_val_every_n_epoch=2)
    fit.fit(model, Digits(size=8, batch_size=128))
    # Validations after epochs 2, 4, 6 and 8: the first sets the mark, two drops, then the end.
    assert fit.current_epoch == 8
    rates = {row["epoch"]: row["lr/all"] for row in Run(tmp_path).metrics if "lr/all" in row}
    assert [rates[epoch] for epoch in (0, 3, 4, 5, 6, 7)] == pytest.approx([0.05, 0.05, 0.005, 0.005, 0.0005, 0.0005])


@pytest.mark.filterwarnings("ignore:.*does not have many workers.*", "ignore:.*treespec, LeafSpec.*")
def test_a_schedule_that_watches_nothing_fails_before_training(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"watches 'val/top1', which nothing logs; did you mean val/top1_error\?"):
        trainer(tmp_path).fit(classifier(monitor="val/top1"), Digits(size=8))
    with pytest.raises(UserError, match="'val/top1_error', and there is no validation"):
        trainer(tmp_path, limit_val_batches=0).fit(classifier(), Digits(size=8))
    assert not Run(tmp_path).metrics


def test_evaluation_and_prediction_use_the_logits_alone() -> None:
    model = classifier().eval()
    images = torch.rand(5, *SHAPE)
    assert model(images).shape == (5, 10)
    assert torch.equal(model.train()(images), model.net.eval()(images))
    probabilities = model.predict_step((images, torch.zeros(5)), 0)
    torch.testing.assert_close(probabilities.sum(1), torch.ones(5))
    assert torch.equal(model.predict_step(images, 0), probabilities)


def test_probabilities_of_several_crops_are_averaged() -> None:
    model = classifier().eval()
    crops = torch.rand(5, 10, *SHAPE)
    mean = torch.stack([model(crop).softmax(1) for crop in crops.unbind(1)]).mean(0)
    targets = torch.arange(5)
    torch.testing.assert_close(model(crops).softmax(1), mean)
    torch.testing.assert_close(model.predict_step((crops, targets), 0), mean)
    torch.testing.assert_close(F.cross_entropy(model(crops), targets), -mean[targets, targets].log().mean())


def test_weights_to_start_from(tmp_path: Path) -> None:
    source = classifier().net.state_dict()
    torch.save({"state_dict": {f"module.{key}": value for key, value in source.items()}}, tmp_path / "w")
    started = Classifier(TwoHeads, Plateau(), str(tmp_path / "w"), 10, SHAPE)
    assert all(torch.equal(value, source[key]) for key, value in started.net.state_dict().items())
    for classes, fresh, new in ((7, None, ("last.", "early.")), (10, "fc1", ("first.",)), (10, ["head"], ("last.",))):
        started = Classifier(TwoHeads, Plateau(), str(tmp_path / "w"), classes, SHAPE, fresh=fresh)
        loaded = {key for key, value in started.net.state_dict().items() if torch.equal(value, source[key])}
        assert loaded == {key for key in source if not key.startswith(new)}
    with pytest.raises(
        UserError, match=r"do not fit TwoHeads: 1 of another shape: first\.weight is 16×64, wanted 16×81"
    ):
        Classifier(lambda classes, _: TwoHeads(classes, (1, 9, 9)), None, str(tmp_path / "w"), 10)
    with pytest.raises(UserError, match=r"model\.fresh is .*, and there is none; give --model\.init_from"):
        Classifier(TwoHeads, Plateau(), None, 10, SHAPE, fresh=["head"])


def saved_with_classes(model: Classifier, names: list[str], path: Path) -> dict[str, Tensor]:
    state = {key: value.clone() for key, value in model.net.state_dict().items()}
    torch.save({"state_dict": state, "convkit": {"class_names": names}}, path)
    return state


@pytest.mark.filterwarnings("ignore:.*does not have many workers.*", "ignore:.*treespec, LeafSpec.*")
@pytest.mark.parametrize("same", [True, False])
def test_labels_are_compared_when_the_data_is_known(same: bool, tmp_path: Path) -> None:
    data = Digits(size=8, batch_size=64)
    names = data.class_names if same else data.class_names[::-1]
    source = saved_with_classes(classifier(), names, tmp_path / "w")
    torch.manual_seed(2)
    model = Classifier(TwoHeads, Plateau(lr=1e-30, weight_decay=0.0), str(tmp_path / "w"), 10, SHAPE)
    torch.manual_seed(2)
    own = TwoHeads(10, SHAPE).state_dict()
    trainer(tmp_path / "log", max_steps=1).fit(model, data)  # at a rate that moves nothing
    for key, value in model.net.state_dict().items():
        if not same and key.startswith("last."):  # a classifier near zero, an auxiliary one as drawn
            assert value.abs().max() < 0.01
            continue
        expected = own[key] if not same and key.startswith("early.") else source[key]
        assert (value - expected).abs().max() < 1e-25, key  # a step at that rate


@pytest.mark.filterwarnings("ignore:.*does not have many workers.*", "ignore:.*treespec, LeafSpec.*")
def test_evaluation_of_a_classifier_for_other_labels(tmp_path: Path) -> None:
    data = Digits(size=8, batch_size=64)
    saved_with_classes(classifier(), data.class_names[::-1], tmp_path / "w")
    model = Classifier(TwoHeads, Plateau(), str(tmp_path / "w"), 10, SHAPE)
    looks = trainer(tmp_path / "looks")
    for evaluate in (looks.test, looks.validate, looks.predict):
        with pytest.raises(UserError, match="tells 9, 8, 7, … apart, and the data's classes are 0, 1, 2, …"):
            evaluate(model, data)
    model.train()
    fit = trainer(tmp_path / "fit", max_steps=1)
    fit.fit(model, data)
    fit.save_checkpoint(tmp_path / "trained.ckpt")
    fit.test(model, data, verbose=False)  # trained by now
    model = Classifier(TwoHeads, Plateau(), str(tmp_path / "w"), 10, SHAPE)
    looks.test(model, data, ckpt_path=tmp_path / "trained.ckpt", verbose=False, weights_only=True)


def test_a_published_network_gives_its_published_error(shared) -> None:
    """91.73% (INDEX.md), here on the first 1,000 test images against the same network evaluated by hand."""
    from convkit.architectures.resnet_cifar import ResNetCifar

    path = shared("weights/resnet20-12fca82f.th")
    model = Classifier(ResNetCifar, Plateau(), str(path), 10, (3, 32, 32)).eval()
    arrays = np.load(shared("data/cifar10.npz"))
    images = torch.from_numpy(arrays["x_test"][:1000]).permute(0, 3, 1, 2) / 255
    mean, std = (torch.tensor(values)[:, None, None] for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    with torch.inference_mode():
        wrong = (model((images - mean) / std).argmax(1).numpy() != arrays["y_test"][:1000]).mean()
    # Binomial: 8.27% of 1,000 is 83 ± 9; three deviations
    assert 100 * wrong == pytest.approx(8.27, abs=2.7)


@pytest.mark.parametrize(
    "flags", [{"channels_last": True}, {"compile": True}, {"channels_last": True, "compile": True}]
)
def test_accelerations_change_no_result_and_no_name(flags: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """The same logits and gradients as without, and a state_dict that fits either."""
    # Translated and traced as ever, but without the minute that the C++ compiler takes.
    monkeypatch.setattr(torch.nn.Module, "compile", partialmethod(torch.nn.Module.compile, backend="aot_eager"))
    images, targets = torch.randn(6, *COLOUR), torch.arange(6) % 10
    found = []
    for given in ({}, dict.fromkeys(flags, True)):
        torch.manual_seed(0)
        model = Classifier(ResNetCifar, Plateau(), None, 10, COLOUR, **given)
        model.setup("fit")
        logits = model(images)
        torch.nn.functional.cross_entropy(logits, targets).backward()
        found.append((logits, [value.grad for value in model.net.parameters()], model.state_dict()))
    torch.testing.assert_close(found[1], found[0], rtol=1e-3, atol=1e-4)
    convolution = next(value for value in model.net.parameters() if value.ndim == 4)
    assert convolution.is_contiguous(memory_format=torch.channels_last) == ("channels_last" in flags)


def test_a_model_that_is_opened_is_not_compiled() -> None:
    """Hooks into a compiled network may be passed over."""
    model = Classifier(ResNetCifar, None, None, 10, COLOUR, compile=True)
    model.setup("test")
    assert model.net._compiled_call_impl is None


def test_every_step_seeds_the_generator_and_keeps_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch.manual_seed keeps a call with its stack for each device that there is not: a leak, and a millisecond."""
    monkeypatch.setenv("PL_GLOBAL_SEED", "3")
    model = Classifier(ResNetCifar, None, None, 10, COLOUR)
    kept = len(torch.cuda._queued_calls)
    model.on_train_batch_start((torch.zeros(0), torch.zeros(0)), 0)
    drawn = torch.rand(5)
    torch.manual_seed(3 * 1_000_003 * 65_537)
    assert torch.equal(torch.rand(5), drawn)
    assert len(torch.cuda._queued_calls) <= kept + 1  # manual_seed's own, above
