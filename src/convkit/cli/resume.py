"""``--ckpt_path``: which checkpoint, the configuration in it, and what is different now."""

from pathlib import Path
from typing import Any

from convkit.cli.request import Request
from convkit.errors import UserError
from convkit.plugin_health import compare
from convkit.run_directory import find_checkpoint
from convkit.weights import read_checkpoint

# A run's own affairs: not taken over from a checkpoint, no difference worth telling.
OWN = ("ckpt_path", "name", "runs", "tags", "wandb", "wandb_project", "wandb_checkpoint", "test_at_end")


def resume(request: Request) -> tuple[Path | None, dict[str, Any] | None]:
    """The checkpoint that ``--ckpt_path`` names, and the configuration in it."""
    asked = request.value("ckpt_path")
    request.words = [word for word in request.words if not word.startswith("--ckpt_path=")]
    for config in request.configs:
        config.pop("ckpt_path", None)
    if not asked:
        return None, None
    name = request.value("name") or request.default_name
    prefer = "last" if request.command == "fit" else "best"
    checkpoint = find_checkpoint(str(asked), request.value("runs") or "runs", name, prefer)
    contents = read_checkpoint(checkpoint)
    if "state_dict" not in contents or "loops" not in contents:
        raise UserError(f"{checkpoint} is not a checkpoint of a fit; start from weights with --model.init_from")
    own = contents.get("convkit", {})
    compare((own.get("made_with") or {}).get("plugins", []), checkpoint)
    config = own.get("config")
    return checkpoint.resolve() if checkpoint.is_symlink() else checkpoint, config


def tell_differences(checkpoint: Path, resumed: dict[str, Any], config: dict[str, Any]) -> None:
    """Print what the configuration has otherwise than the checkpoint's."""
    before, now = flat(resumed), flat(config)
    print(f"resuming from {checkpoint}")
    for key in sorted(before.keys() | now.keys()):
        if key.split(".")[0] not in OWN and before.get(key) != now.get(key):
            print(f"  {key}: {before.get(key)} -> {now.get(key)}")


def flat(config: Any, prefix: str = "") -> dict[str, Any]:
    """A nested configuration with dotted keys."""
    if not isinstance(config, dict) or not config:
        return {prefix: config}
    return {
        key: leaf for name, value in config.items() for key, leaf in flat(value, f"{prefix}.{name}".lstrip(".")).items()
    }
