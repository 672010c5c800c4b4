"""What of a config does not apply any more, because a later config or the command line chose another class."""

from typing import Any

from convkit.cli.names import PLACES


def dropped(configs: list[dict[str, Any]], final: dict[str, Any]) -> list[str]:
    """A line for each option that a config gives to a class that was replaced by one without such an option.

    jsonargparse keeps what both classes take and leaves out the rest without a word.

    Args:
        configs: as read, short names replaced.
        final: the whole configuration after parsing, in plain values.
    """
    lines = []
    for place in PLACES:
        chosen = _at(final, place)
        if not isinstance(chosen, dict):
            continue
        name = chosen["class_path"].rpartition(".")[2]
        for config in configs:
            given = _at(config, place)
            if not isinstance(given, dict) or given.get("class_path") == chosen["class_path"]:
                continue
            lost = [key for key in given.get("init_args") or {} if key not in (chosen.get("init_args") or {})]
            lines += [f"{place}.{key} of the config is left out: {name} has no such option" for key in lost]
    return lines


def _at(config: Any, place: str) -> Any:
    for key in place.split("."):
        config = config.get(key) if isinstance(config, dict) else None
    return config
