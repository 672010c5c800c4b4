"""Fits with frozen stages: what moves, what does not, and when that changes."""

import copy
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import EMAWeightAveraging
from lightning.pytorch.demos.boring_classes import BoringModel
from small_fits import Brightest, Optimizer, Scripted, Watch, changed, classifier, fit, keys, state, trainer
from torch import nn

from convkit.callbacks.freezing import Freezing
from convkit.callbacks.stall import Stall
from convkit.datasets.features import FeatureData
from convkit.errors import UserError
from convkit.schedules.base import Schedule
from convkit.schedules.plateau import Plateau


def parameters(model: Any) -> set[str]:
    return {name for name, _ in model.net.named_parameters()}


@pytest.mark.parametrize("schedule", [
    Plateau(lr=0.05, momentum=0.9, weight_decay=0.1),
    Optimizer("AdamW", lr=0.01, weight_decay=0.1),
    Optimizer("RMSprop", lr=0.01, momentum=0.9, weight_decay=0.1),
], ids=["sgd", "adamw", "rmsprop"])  # fmt: skip
def test_frozen_stages_do_not_move_by_a_bit_and_thawed_ones_from_the_first_step(schedule: Schedule) -> None:
    model, watch = classifier(schedule), Watch()
    frozen = keys(model, "conv1", "conv2", "aux", "classifier.1")
    head = keys(model, "classifier.4")
    assert frozen | head == set(model.net.state_dict())
    # four steps an epoch: three epochs with the body frozen, two with conv2 and fc3 thawed, one with all of it
    fit(model, Freezing(freeze="body", thaw={3: ["conv2", "fc3"], 5: ["body"]}), watch, max_epochs=6)
    assert len(watch.states) == 25
    assert watch.moved(0, 12) == head  # no parameter, no statistic and no count of batches
    thawed = keys(model, "conv2", "classifier.1")
    assert watch.moved(12, 13) == head | thawed  # every one of them in the first step
    assert watch.moved(12, 20) == head | thawed
    assert watch.moved(20, 21) == set(model.net.state_dict())
    for step in range(24):
        learning = (head if step < 12 else head | thawed if step < 20 else frozen | head) & parameters(model)
        assert watch.with_gradient[step] == learning
        assert watch.with_state[step] == learning


def test_what_learns_does_so_as_if_the_rest_were_constant() -> None:
    model = classifier(Plateau(lr=0.05, momentum=0.9, weight_decay=0.01), dropout=0.0)
    plain = copy.deepcopy(model.net).eval()
    fit(model, Freezing(policy="some"))

    dense, data = plain.classifier, Brightest()  # by hand: features in evaluation, then the two dense layers
    data.setup()
    optimizer = torch.optim.SGD(dense.parameters(), lr=0.05, momentum=0.9, weight_decay=0.01)
    for images, targets in data.train_dataloader():
        with torch.no_grad():
            features = plain.conv2(plain.conv1(images)).mean((2, 3))
        optimizer.zero_grad()
        nn.functional.cross_entropy(dense(features), targets).backward()
        optimizer.step()
    assert not changed(state(model.net), state(plain))


def test_statistics_can_be_kept_while_batch_norm_learns() -> None:
    model, watch = classifier(), Watch()
    fit(model, Freezing(freeze="conv1", thaw={1: "conv1"}, keep_statistics=True), watch, max_epochs=2)
    of_batches = {key for key in model.net.state_dict() if key.split(".")[-1] in ("running_mean", "running_var")}
    assert len(of_batches) == 4
    counts = {key for key in model.net.state_dict() if key.endswith("num_batches_tracked")}
    assert watch.moved(0, 8) == set(model.net.state_dict()) - of_batches - counts


# improves twice, then stalls: forgiven, stall; improves; forgiven, NaN is a stall
VALUES = [9.0, 8.0, 8.0, 7.9, 7.0, 7.0, float("nan"), 6.9]


@pytest.mark.parametrize("every", [1, 2])
def test_a_stage_thaws_at_each_stall(every: int, capsys: pytest.CaptureFixture[str]) -> None:
    model, watch = classifier(aux=False), Watch()
    freezing = Freezing(
        freeze="body", thaw_when_stalled=["fc3", "body"], monitor="val/scripted", patience=1, threshold=0.5
    )
    epochs = len(VALUES) * every
    fit(model, Scripted(VALUES, every), freezing, watch, max_epochs=epochs, check_val_every_n_epoch=every)
    head, fc3 = keys(model, "classifier.4"), keys(model, "classifier.1")
    first, second = 4 * every * 4, 7 * every * 4  # steps of an epoch: four; the fourth and the seventh validation
    assert watch.moved(0, first) == head
    assert watch.moved(first, first + 1) == watch.moved(first, second) == head | fc3
    assert watch.moved(second, second + 1) == set(model.net.state_dict())
    told = [line for line in capsys.readouterr().out.splitlines() if "thawing" in line]
    assert told == [
        f"epoch {4 * every}: val/scripted has not improved on 8 in 2 validations: thawing fc3 (208 parameters); 276 "
        "learn",
        f"epoch {7 * every}: val/scripted has not improved on 7 in 2 validations: thawing body (1,140 parameters); "
        "1,416 learn",
    ]


def test_without_a_sanity_check_what_nothing_of_ours_logs_is_refused_at_once() -> None:
    model = classifier()
    before = state(model.net)
    with pytest.raises(UserError, match=r"^Freezing watches 'val/acc', which nothing logs; choose"):
        fit(model, Freezing(policy="few", thaw_when_stalled="body", monitor="val/acc"), num_sanity_val_steps=0)
    assert not changed(before, state(model.net))


def test_a_callback_of_the_users_may_log_what_is_watched_without_a_sanity_check() -> None:
    model, watch = classifier(aux=False), Watch()
    freezing = Freezing(freeze="body", thaw_when_stalled="body", monitor="val/scripted", patience=0)
    fit(model, Scripted([1.0, 1.0, 1.0]), freezing, watch, max_epochs=3, num_sanity_val_steps=0)
    assert watch.moved(0, 8) == keys(model, "classifier.4")
    assert watch.moved(8, 9) == set(model.net.state_dict())


def test_patience_counts_as_written() -> None:
    stall = Stall(patience=0, threshold=0.0)
    assert [stall.judge(value) for value in (3.0, 2.0, 2.0, 2.0, 1.0)] == [False, False, True, True, False]
    resumed = Stall(patience=1, threshold=0.0)
    resumed.load_state_dict({"best": 1.0, "waited": 1})
    assert resumed.judge(1.0)


def test_a_thaw_waits_for_the_gradients_that_are_being_gathered() -> None:
    model, watch = classifier(), Watch()
    freezing = Freezing(freeze="body", thaw_when_stalled=["body"], monitor="val/scripted", patience=0)
    # a step is three batches; validation, and the stall, after the second of them
    fit(model, Scripted([float("nan")]), freezing, watch, data=Brightest(batch_size=8), accumulate_grad_batches=3,
        val_check_interval=5)  # fmt: skip
    assert len(watch.states) == 9
    assert watch.moved(0, 6) == keys(model, "classifier.4")
    assert watch.with_gradient[-1] == parameters(model)


def test_averaged_weights_go_with_it() -> None:
    model, plain, watch = classifier(), classifier(), Watch()
    average = EMAWeightAveraging(decay=0.5)
    fit(model, Freezing(freeze="body", thaw={1: ["conv2"]}), watch, average, max_epochs=2)
    steps = Watch()
    fit(plain, Freezing(freeze="body", thaw={1: ["conv2"]}), steps, max_epochs=2)
    for with_average, without in zip(watch.states[:-1], steps.states[:-1], strict=True):
        assert not changed(with_average, without)
    expected = steps.states[1]  # the average begins with the first step
    for reached in steps.states[2:]:
        expected = {key: value.lerp(reached[key], 0.5) if value.is_floating_point() else reached[key]
                    for key, value in expected.items()}  # fmt: skip
    assert keys(model, "conv1", "aux", "classifier.1").isdisjoint(changed(steps.states[0], state(model.net)))
    for key, value in model.net.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(value, expected[key])


def test_a_gradient_that_is_left_over_moves_nothing() -> None:
    model, watch = classifier(Plateau(lr=0.05, weight_decay=0.1)), Watch()
    for parameter in model.net.parameters():
        parameter.grad = torch.ones_like(parameter)
    fit(model, Freezing(policy="few"), watch)
    assert watch.moved(0, 1) == keys(model, "classifier.4")


def test_the_network_is_left_as_it_was() -> None:
    model = classifier()
    model.net.conv1.norm.weight.requires_grad_(False)
    callback = Freezing(freeze="body", thaw={1: ["conv2"]})
    fit(model, callback, max_epochs=2)
    learns = {name for name, each in model.net.named_parameters() if each.requires_grad}
    assert learns == parameters(model) - {"conv1.norm.weight"}
    assert all(module.training for module in model.net.modules())
    assert not any(module._forward_pre_hooks for module in model.net.modules())
    watch = Watch()
    fit(model, callback, watch)  # and once more from the beginning
    assert watch.moved(0, 4) == keys(model, "classifier.4")


def test_also_where_a_fit_ends_in_an_error() -> None:
    class Broken(Callback):
        def on_train_batch_end(self, *_: Any) -> None:
            raise RuntimeError("broken")

    model = classifier()
    with pytest.raises(RuntimeError, match="broken"):
        fit(model, Freezing(policy="few"), Broken())
    assert all(parameter.requires_grad for parameter in model.net.parameters())
    assert not any(module._forward_pre_hooks for module in model.net.modules())


def test_what_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    fit(classifier(), Freezing(policy="auto", thaw={1: ["conv2"]}), max_epochs=2)
    assert capsys.readouterr().out.splitlines() == [
        "policy auto: 64 training images, 16 a class: few",
        "frozen: conv1, conv2, fc3, early (1,384 parameters); learning: head (68)",
        "epoch 2: thawing conv2 (900 parameters); 968 learn",
    ]
    fit(classifier(), Freezing(freeze=["conv1", "fc3", "conv2.*.bias"]))
    [line] = capsys.readouterr().out.splitlines()
    assert line == "frozen: conv1, part of conv2, fc3 (472 parameters); learning: part of conv2, head, early (980)"
    fit(classifier(), Freezing(policy="all"))
    [line] = capsys.readouterr().out.splitlines()
    assert line == "frozen: nothing (0 parameters); learning: conv1 … early (1,452)"


def test_the_head_learns_what_it_learns_on_features_computed_once() -> None:
    whole, cached, both = classifier(), classifier(), classifier()
    fit(whole, Freezing(policy="few"), max_epochs=3)
    fit(cached, data=FeatureData(Brightest(), cached.net), max_epochs=3)
    fit(both, Freezing(policy="few"), data=FeatureData(Brightest(), both.net), max_epochs=3)
    assert not changed(state(cached.net), state(both.net))
    for key, value in state(whole.net).items():
        torch.testing.assert_close(cached.net.state_dict()[key], value, rtol=0, atol=1e-6)


@pytest.mark.parametrize("options", [{"policy": "some"}, {"policy": "few", "thaw": {1: "body"}}, {"freeze": "conv1"}])
def test_more_than_the_head_cannot_learn_on_features(options: dict[str, Any]) -> None:
    model = classifier()
    with pytest.raises(UserError, match="leave out --cache_features, or give policy few without thaw"):
        fit(model, Freezing(**options), data=FeatureData(Brightest(), model.net))


class Rated(Plateau):
    def __init__(self, **rates: float) -> None:
        super().__init__()
        self.rates = rates


@pytest.mark.parametrize(
    ("schedule", "callbacks", "options", "message"),
    [
        (None, [Freezing(freeze="conv9")], {}, "Freezing.freeze: 'conv9' is no stage, module or parameter of Small"),
        (None, [Freezing(policy="few", thaw_when_stalled="body", monitor="val/top1_eror")], {},
         "Freezing watches 'val/top1_eror', which nothing logs; did you mean val/top1_error?"),
        (None, [Freezing(policy="few", thaw_when_stalled="body")], {"limit_val_batches": 0},
         "Freezing watches 'val/top1_error', and there is no validation"),
        (None, [Freezing(freeze=["body", "head"])], {}, "Freezing freezes all of Small: nothing is left to learn"),
        (Rated(body=0.1), [Freezing(policy="few")], {},
         "model.schedule.rates: 'body' is frozen for ever by Freezing; thaw it, or leave its rate out"),
        (Rated(conv1=0.1), [Freezing(policy="few", thaw={2: "conv2"})], {}, "model.schedule.rates: 'conv1' is frozen"),
        (Rated(**{"conv*": 0.1, "conv2": 0.2}), [Freezing(policy="few", thaw={2: "conv2"})], {},
         "model.schedule.rates: 'conv*' is frozen for ever"),
    ],
)  # fmt: skip
def test_bad_input_before_the_first_step(
    schedule: Any, callbacks: list[Freezing], options: dict[str, Any], message: str
) -> None:
    model, watch = classifier(schedule), Watch()
    with pytest.raises(UserError) as error:
        fit(model, *callbacks, watch, **options)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)
    assert not watch.states


@pytest.mark.parametrize("rates", [{"body": 0.1}, {"conv1": 0.1}])
def test_a_rate_for_what_thaws_or_what_auto_chose_is_none(rates: dict[str, float]) -> None:
    fit(classifier(Rated(**rates)), Freezing(policy="few", thaw={2: ["conv1"]}), fast_dev_run=True)
    fit(classifier(Rated(**rates)), Freezing(policy="auto"), fast_dev_run=True)


def test_what_cannot_be_frozen() -> None:
    data = Brightest()
    data.setup()
    with pytest.raises(UserError, match="policy auto counts the images of an ImageData; name a policy"):
        trainer(Freezing(policy="auto")).fit(classifier(), data.train_dataloader(), data.val_dataloader())
    with pytest.raises(UserError, match="Freezing needs a convkit Classifier, not a BoringModel"):
        trainer(Freezing(policy="few")).fit(BoringModel())
