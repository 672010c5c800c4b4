"""The last lines of a command: the result, where it lies, what to run next."""

from pathlib import Path

from lightning.pytorch import Trainer

from convkit.callbacks.checkpoints import BestCheckpoint
from convkit.weights import read_checkpoint

SHOWN = ("config.yaml", "metrics.csv", "checkpoints", "val_mistakes.png")  # what a user would open first


def tell_fit(trainer: Trainer, directory: Path, seconds: float) -> None:
    parts = []
    callback = trainer.checkpoint_callback
    if isinstance(callback, BestCheckpoint) and callback.best_model_score is not None:
        epoch = read_checkpoint(callback.best_model_path)["epoch"] + 1
        parts.append(f"{callback.monitor} {callback.best_model_score.item():.2f} % (best, epoch {epoch})")
    if "test/top1_error" in trainer.callback_metrics:
        parts.append(f"test/top1_error {trainer.callback_metrics['test/top1_error'].item():.2f} %")
    parts.append(f"trained to epoch {trainer.current_epoch} in {seconds:.1f} s")
    print(f"result: {'; '.join(parts)}")
    files = [name for name in SHOWN if (directory / name).exists()]
    print(f"run:    {directory} ({', '.join(files)})")
    print(f"next:   convkit test --ckpt_path {directory}")


def tell_evaluation(trainer: Trainer, directory: Path) -> None:
    parts = []
    for name, value in trainer.callback_metrics.items():
        if name.endswith("/loss"):
            parts.append(f"{name} {value.item():.4f}")
        elif name.endswith("_error"):
            parts.append(f"{name} {value.item():.2f} %")
    print(f"result: {'; '.join(parts)}")
    print(f"files:  {directory} ({', '.join(sorted(entry.name for entry in directory.iterdir()))})")
