"""Without a terminal: plain lines, and nothing that a file would not want."""

import re


def test_plain_lines_without_a_terminal(fit) -> None:
    out = fit("--trainer.max_epochs", 2, "--test_at_end", "false").out
    assert "\r" not in out
    assert "\x1b" not in out
    first, one, two, *_ = out.splitlines()
    assert first == "LeNet (15,626 parameters) on Digits, 11 steps an epoch, cpu"
    pattern = r"epoch %d/2  train/loss [\d.]+  val/loss [\d.]+  val/top1_error [\d.]+  lr/all 0\.01  [\d.]+ s"
    assert re.fullmatch(pattern % 1, one)
    assert re.fullmatch(pattern % 2, two)
    assert len(out.splitlines()) == 6  # and the three closing lines


def test_no_progress_at_all(fit) -> None:
    out = fit("--trainer.max_epochs", 1, "--trainer.enable_progress_bar", "false").out
    assert [line.split(":")[0] for line in out.splitlines()] == ["result", "run", "next"]


def test_the_schedule_says_why_it_drops_the_rate(fit) -> None:
    options = ("--model.schedule.patience", 0, "--model.schedule.threshold", 100, "--model.schedule.max_drops", 1)
    out = fit("--trainer.max_epochs", 9, "--test_at_end", "false", *options).out
    assert re.search(
        r"^epoch 2: val/top1_error has not improved on [\d.]+ in 1 validations: rate 0\.01 -> 0\.001", out, re.M
    )
    assert re.search(r"^epoch 3: .*the rate has dropped 1 times, training stops$", out, re.M)
    assert "trained to epoch 3 in" in out
