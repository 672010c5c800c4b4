"""What a fit leaves, and that it is enough to evaluate, to replay and to build the model again."""

import csv
import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml

from convkit.run import Run

CLASSES = 10


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def timeless(row: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in row.items() if not key.startswith("time/")}


def predicted(directory: Path) -> list[dict[str, str]]:
    return rows_of(directory / "predict" / "1" / "predictions.csv")


def test_closing_lines_and_files(fit) -> None:
    lines = fit("--trainer.max_epochs", 1, "--name", "mine").out.splitlines()
    [row] = [row for row in Run.open("runs/mine").metrics if "test/top1_error" in row]
    result, where, following = lines[-3:]
    assert result.startswith("result: val/top1_error ")
    assert f"(best, epoch 1); test/top1_error {row['test/top1_error']:.2f} %; trained to epoch 1 in " in result
    assert where == "run:    runs/mine/1 (config.yaml, metrics.csv, checkpoints, val_mistakes.png)"
    assert following == "next:   convkit test --ckpt_path runs/mine/1"
    files = {str(path.relative_to("runs/mine/1")) for path in Path("runs/mine/1").rglob("*") if path.is_file()}
    assert files == {
        "config.yaml", "made_with.json", "metrics.csv", "state.json", "first_filters.png",
        "checkpoints/best.ckpt", "checkpoints/last.ckpt",
        "val_confusion.csv", "val_classes.json", "val_mistakes.png",
        "test_confusion.csv", "test_classes.json", "test_mistakes.png",
    }  # fmt: skip


def test_the_next_command_it_names_works_and_agrees(fit, convkit) -> None:
    lines = fit("--trainer.max_epochs", 2).out.splitlines()
    words = lines[-1].removeprefix("next:   convkit ").split()
    status, out, err = convkit(*words)
    assert (status, err) == (0, "")
    [fitted] = [row for row in Run.open("runs/quickstart").metrics if "test/loss" in row]
    assert f"result: test/loss {fitted['test/loss']:.4f}; test/top1_error {fitted['test/top1_error']:.2f} %" in out
    assert "files:  " in out
    assert sorted(path.name for path in Path("runs/quickstart/1/test/1").iterdir()) == [
        "config.yaml", "metrics.csv", "test_classes.json", "test_confusion.csv", "test_mistakes.png"
    ]  # fmt: skip
    [tested] = Run(Path("runs/quickstart/1/test/1")).metrics
    for name in ("test/loss", "test/top1_error", "test/top5_error"):
        assert tested[name] == fitted[name]


def test_every_fit_has_a_number_and_nothing_is_overwritten(fit) -> None:
    for number in ("1", "2", "3"):
        fit("--trainer.max_epochs", 1, "--test_at_end", "false")
        assert Path("runs/quickstart/latest").readlink() == Path(number)
        if number == "1":
            before = {path: path.stat().st_mtime_ns for path in Path("runs/quickstart/1").rglob("*")}
    assert before == {path: path.stat().st_mtime_ns for path in Path("runs/quickstart/1").rglob("*")}
    assert sorted(path.name for path in Path("runs/quickstart").iterdir()) == ["1", "2", "3", "latest"]


def test_the_saved_config_replays_bit_for_bit(fit, convkit) -> None:
    fit("--trainer.max_epochs", 2)
    config = yaml.safe_load(Path("runs/quickstart/1/config.yaml").read_text())
    assert config["model"]["architecture"]["class_path"] == "convkit.architectures.lenet.LeNet"
    assert config["model"]["schedule"]["class_path"] == "convkit.schedules.plateau.Plateau"
    assert config["data"]["class_path"] == "convkit.datasets.digits.Digits"
    assert config["data"]["init_args"]["size"] == 16
    assert config["trainer"]["max_epochs"] == 2
    assert convkit("fit", "--config", "runs/quickstart/1/config.yaml", "--name", "again").status == 0
    first, again = (rows_of(Path(f"runs/{name}/1/metrics.csv")) for name in ("quickstart", "again"))
    assert [timeless(row) for row in first] == [timeless(row) for row in again]
    states = [Run.open(f"runs/{name}").model.state_dict() for name in ("quickstart", "again")]
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())


def test_a_replayed_config_keeps_the_name_of_its_run(fit, convkit) -> None:
    fit("--trainer.max_epochs", 1, "--name", "mine")
    assert convkit("fit", "--config", "runs/mine/1/config.yaml").status == 0
    assert Path("runs/mine/latest").readlink() == Path("2")


def test_a_run_gives_back_model_data_and_metrics(trained: Path) -> None:
    run = Run.open(trained)
    assert run.config["data"]["init_args"]["size"] == 16
    run.data.prepare_data()
    run.data.setup()
    wrong = total = 0
    with torch.inference_mode():
        for images, targets in run.data.test_dataloader():
            wrong += int((run.model(images).argmax(1) != targets).sum())
            total += len(targets)
    [tested] = [row for row in run.metrics if "test/top1_error" in row]
    assert total == 359
    assert 100 * wrong / total == pytest.approx(tested["test/top1_error"], abs=1e-4)
    assert not run.model.training


def test_metrics_have_the_names_of_the_design(trained: Path) -> None:
    head = (trained / "metrics.csv").read_text().splitlines()[0].split(",")
    splits = {f"{split}/{name}" for split in ("val", "test") for name in ("loss", "top1_error", "top5_error")}
    times = {"time/epoch", "time/images_per_second"}
    assert set(head) == {"epoch", "step", "lr/all", "train/loss"} | splits | times


def test_predictions_confusion_and_metrics_agree(trained: Path, convkit) -> None:
    runs = Path("copy")
    shutil.copytree(trained, runs / "x" / "1")
    status, out, err = convkit("predict", "--ckpt_path", runs / "x" / "1")
    assert (status, err) == (0, "")
    assert out == f"predictions: {(runs / 'x/1/predict/1/predictions.csv').resolve()}\n"
    rows = predicted(runs / "x" / "1")
    assert [int(row["index"]) for row in rows] == list(range(359))
    wrong = sum(row["predicted"] != row["label"] for row in rows)
    [tested] = [row for row in Run.open(trained).metrics if "test/top1_error" in row]
    assert 100 * wrong / len(rows) == pytest.approx(tested["test/top1_error"], abs=1e-4)
    confusion = rows_of(trained / "test_confusion.csv")
    for line in confusion:
        true = line["true \\ predicted"]
        for name in map(str, range(CLASSES)):
            counted = sum(row["label"] == true and row["predicted"] == name for row in rows)
            assert int(line[name]) == counted


def test_top5_error_is_that_of_a_plain_count(trained: Path) -> None:
    run = Run.open(trained)
    run.data.setup()
    missed = 0
    with torch.inference_mode():
        for images, targets in run.data.val_dataloader():
            for logits, target in zip(run.model(images).tolist(), targets.tolist(), strict=True):
                missed += sum(other > logits[target] for other in logits) >= 5
    count = len(run.data.splits["val"].targets)
    epoch = torch.load(run.checkpoint, weights_only=True)["epoch"]
    [row] = [row for row in run.metrics if "val/loss" in row and row["epoch"] == epoch]
    assert 100 * missed / count == pytest.approx(row["val/top5_error"], abs=1e-4)


def test_validate_and_predict_from_published_weights_alone(trained: Path, convkit) -> None:
    weights = ("--model.init_from", trained / "checkpoints/best.ckpt", "--data.size", 16)
    status, out, err = convkit("test", "--config", "quickstart", *weights)
    assert (status, err) == (0, "")
    [tested] = [row for row in Run.open(trained).metrics if "test/top1_error" in row]
    assert f"test/top1_error {tested['test/top1_error']:.2f} %" in out
    assert Path("runs/quickstart/1/test_confusion.csv").exists()


def test_fast_dev_run_leaves_nothing(fit) -> None:
    fit("--trainer.fast_dev_run", "true")
    assert not Path("runs").exists()


def test_a_slurm_job_is_a_plain_fit(fit, monkeypatch: pytest.MonkeyPatch) -> None:
    variables = {"JOB_ID": "7", "NTASKS": "1", "PROCID": "0", "LOCALID": "0", "NODEID": "0", "NNODES": "1"}
    for name, value in {**variables, "JOB_NAME": "train", "NODELIST": "node1", "JOB_NODELIST": "node1"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    assert fit("--trainer.max_epochs", 1, "--test_at_end", "false").err == ""
    assert Path("runs/quickstart/1/checkpoints/last.ckpt").exists()


def test_a_run_of_another_plugin_warns_or_says_what_to_install(trained: Path, tmp_path: Path, convkit) -> None:
    place = tmp_path / "runs" / "mine" / "1"
    shutil.copytree(trained, place)
    recorded = {"kind": "dataset", "name": "birds", "distribution": "gone-birds", "version": "2.0", "path": "x:Y"}
    (place / "made_with.json").write_text(json.dumps({"plugins": [recorded]}))
    result = convkit("export", place, "--out", "net.pt")
    assert result.status == 2
    assert "of gone-birds 2.0, which is not installed; pip install 'gone-birds==2.0'" in result.err
    (place / "made_with.json").write_text(json.dumps({"plugins": [{**recorded, "distribution": "torch"}]}))
    with pytest.warns(UserWarning, match=r"it was made with torch 2\.0, and .* is installed"):
        assert Run.open(place).model
