"""jsonargparse's messages, many lines about unions and subtypes, as the one line that a user can act on."""

import re
from collections.abc import Callable, Collection
from difflib import get_close_matches

from jsonargparse import ArgumentParser

from convkit.errors import did_you_mean
from convkit.plugins import import_path

_UNKNOWN = re.compile(r"^unrecognized arguments: (\S+)|^Subcommand '\w+' does not accept option '([^']+)'")
_REQUIRED = re.compile(r"the following arguments are required: ([\w., ]+?)(?: - |\. Got value|$)")
_NO_VALUE = re.compile(r"^argument (\S+): expected one argument")
_NOT_ACCEPTED = re.compile(r"Option '([^']+)' is not accepted")
_CLASS = re.compile(r"class_path(?:=| )'([\w.]+)'")
_KEY = re.compile(r'Parser key "([^"]+)"')
_NO_SUBCLASS = re.compile(r"Expected '([^']+)' to be a subclass of <class '(?:\w+\.)*(\w+)'>")
_NO_SUBCLASS_PATH = re.compile(r"Import path does not correspond to a subclass of (\w+)")
_CLASS_PROBLEM = re.compile(r"Problem with given class_path '([^']+)': (?!Parser key)(.+?)(?: - Expected a |$)")
_WANTED = re.compile(r"Expected an? (?:<class '(?:\w+\.)*(\w+)'>|typing\.Literal(\[[^\]]*\]))")
_VALUE = re.compile(r"(?:Got|Given) value: (.*?)(?:\.? Got value: .*)?$")
_UNION = re.compile(r"Does not validate against any of the Union subtypes Subtypes: .*? Errors: - (.*)")
_NONE = re.compile(r" - Expected a <class 'NoneType'> .*")


def one_line(message: str, command: str, options: Collection[str]) -> str:
    """What is wrong and the way out.

    Args:
        message: of jsonargparse, or of an exception that a constructor raised and jsonargparse wrapped.
        command: the subcommand that was parsed.
        options: every option that it has, dotted.
    """
    text = " ".join(message.split())
    for rule in _RULES:
        if line := rule(text, command, options):
            return line
    while union := _UNION.search(text):
        text = union[1]
    text = _NONE.sub("", text)
    return re.sub(r'^Parser key "([^"]+)": ', r"\1: ", text)


def _unknown(text: str, command: str, options: Collection[str]) -> str | None:
    if not (found := _UNKNOWN.search(text)):
        return None
    word = (found[1] or found[2]).partition("=")[0]
    if found[1] and not word.startswith("-"):
        return f"{command} takes options only, and {word!r} is none; see convkit {command} --help"
    name = word.removeprefix("--")
    group, _, last = name.rpartition(".")
    siblings = [option.rpartition(".")[2] for option in options if option.rpartition(".")[0] == group]
    near = [f"{group}.{match}".lstrip(".") for match in get_close_matches(last, siblings, n=1)]
    near = near or get_close_matches(name, options, n=1)
    dashes = "--" if found[1] else ""
    way_out = f"did you mean {dashes}{near[0]}?" if near else f"convkit {command} --help-all lists them all"
    return f"{command} has no option {word}; {way_out}"


def _required(text: str, command: str, options: Collection[str]) -> str | None:
    if not (found := _REQUIRED.search(text)):
        return None
    key = _key(text)
    names = [name.strip().removeprefix(f"{command}.") for name in found[1].split(",")]
    given = ", ".join(f"--{key}.{name}" if key else f"--{name}" for name in names)
    if key:
        path = _CLASS.search(text)
        return f"{path[1].rpartition('.')[2] if path else key} needs {', '.join(names)}; give {given}"
    return f"{command} needs {', '.join(names)}; give {given}, or a --config such as --config quickstart"


def _no_value(text: str, command: str, options: Collection[str]) -> str | None:
    return f"{found[1]} needs a value" if (found := _NO_VALUE.search(text)) else None


def _not_accepted(text: str, command: str, options: Collection[str]) -> str | None:
    if not (found := _NOT_ACCEPTED.search(text)):
        return None
    key, path = _key(text), _CLASS.search(text)
    if found[1] == "class_path":
        return f"{key}: its options belong under init_args, beside class_path"
    if not path:
        return f"{key} has no option {found[1]!r}"
    return (
        f"{key}: {path[1].rpartition('.')[2]} has no option {found[1]!r}{did_you_mean(found[1], _parameters(path[1]))}"
    )


def _no_subclass(text: str, command: str, options: Collection[str]) -> str | None:
    if found := _NO_SUBCLASS.search(text):
        return f"{_key(text)}: {found[1]} is no {found[2]}; convkit plugins lists what there is"
    if found := _NO_SUBCLASS_PATH.search(text):
        value = _VALUE.search(text)
        return f"{_key(text)}: {value[1] if value else 'this'} is no {found[1]}; convkit plugins lists what there is"
    return None


def _class_problem(text: str, command: str, options: Collection[str]) -> str | None:
    if not (found := _CLASS_PROBLEM.search(text)):
        return None
    return f"{_key(text)}: {found[1]} cannot be used: {found[2]}"


def _wrong_value(text: str, command: str, options: Collection[str]) -> str | None:
    value, wanted = _VALUE.search(text), _WANTED.findall(text)
    key = _key(text)
    if not (value and wanted and key):
        return None
    types = list(dict.fromkeys({"NoneType": "null", "str": "a text"}.get(name, name) for name, _ in wanted if name))
    choices = [choice.strip(" '\"") for _, literal in wanted for choice in literal.strip("[]").split(",") if choice]
    expected = ", ".join(dict.fromkeys([*choices, *types]))
    return f"{key} cannot be {value[1]!r}; wanted {'one of ' if choices else ''}{expected}"


def _key(text: str) -> str:
    """The dotted option: the outermost key, and the one within the class that it names."""
    return ".".join(dict.fromkeys(_KEY.findall(text)))


def _parameters(path: str) -> list[str]:
    """The options of a class, those of its base classes too."""
    added = ArgumentParser(exit_on_error=False).add_class_arguments(import_path(path))
    return [name for name in added if name not in ("num_classes", "image_shape")]  # these come from the data


_RULES: list[Callable[[str, str, Collection[str]], str | None]] = [
    _unknown,
    _required,
    _no_value,
    _not_accepted,
    _no_subclass,
    _class_problem,
    _wrong_value,
]
