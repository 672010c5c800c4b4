"""jsonargparse's messages, many lines about unions and subtypes, as the one line that a user can act on."""

import re
from collections.abc import Callable, Collection
from difflib import get_close_matches
from pathlib import Path

from jsonargparse import ArgumentParser

from convkit.cli.configs import shipped
from convkit.errors import did_you_mean
from convkit.plugins import import_path

_UNKNOWN = re.compile(r"^unrecognized arguments: (\S+)|^Subcommand '\w+' does not accept option '([^']+)'")
_REQUIRED = re.compile(r"the following arguments are required: ([\w., ]+?)(?: - |\. Got value|$)")
_NO_VALUE = re.compile(r"^argument (\S+): expected one argument")
_LINKED = re.compile(r'^Linked "([^"]+)" must be given via "(\w+)\.')
_NO_GROUP = re.compile(r'^Parser key "([^"]+)": Unable to load config [\'"](.*?)[\'"] - ')
_NOT_ACCEPTED = re.compile(r"Option '([^']+)' is not accepted")
_CLASS = re.compile(r"class_path(?:=| )'([\w.]+)'")
_KEY = re.compile(r'Parser key "([^"]+)"')
_NO_SUBCLASS = re.compile(r"Expected '([^']+)' to be a subclass of <class '(?:\w+\.)*(\w+)'>")
_NO_SUBCLASS_PATH = re.compile(r"Import path does not correspond to a subclass of (\w+)")
_NO_CALLABLE = re.compile(r"expects a function or a callable class: (.+?)\. Got value: (\S*)$")
_CLASS_PROBLEM = re.compile(
    r"Problem with given class_path '([^']+)': (?!Parser key|Does not)(.+?)(?: - Expected a |$)"
)
_WANTED = re.compile(r"Expected an? (?:<class '(?:\w+\.)*(\w+)'>|typing\.Literal(\[[^\]]*\]))")
_NO_CLASS_PATH = re.compile(r"Not a valid subclass of (\w+)|Subtypes: \[<class '([\w.]+)'>.*Expected a dot import path")
# The value ends where the sentence, or the list of alternatives around it, goes on.
_VALUE = re.compile(
    r"(?:Got|Given) value: (.*?)\.?(?: Got value: .*| - Expected an? .*| Given value.*| Subclass types .*)?$"
)
_UNION = re.compile(r"Does not validate against any of the Union subtypes Subtypes: .*? Errors: - (.*)")
_NONE = re.compile(r" - Expected a <class 'NoneType'> .*")
# What is left around an exception's own words where a list of classes, or one class, may be given.
_ALTERNATIVES = re.compile(r"^Expected a <class 'list'> - | - Not a valid subclass of \w+ Subclass types expect .*")
_PLAIN = {"NoneType": "null", "str": "a text", "Path": "a path"}


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
    text = _ALTERNATIVES.sub("", _NONE.sub("", text))
    return re.sub(r'^Parser key "([^"]+)": ', r"\1: ", text)


def _unknown(text: str, command: str, options: Collection[str]) -> str | None:
    if not (found := _UNKNOWN.search(text)):
        return None
    word = (found[1] or found[2]).partition("=")[0]
    if found[1] and not word.startswith("-"):
        if word in shipped() or Path(word).is_file():
            return f"{command} takes options only; did you mean --config {word}?"
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
    if not key and command != "fit":
        return f"{command} needs a trained network; give --ckpt_path RUN, such as --ckpt_path last"
    if key:
        path = _CLASS.search(text)
        return f"{path[1].rpartition('.')[2] if path else key} needs {', '.join(names)}; give {given}"
    return f"{command} needs {', '.join(names)}; give {given}, or a --config such as --config quickstart"


def _no_value(text: str, command: str, options: Collection[str]) -> str | None:
    return f"{found[1]} needs a value" if (found := _NO_VALUE.search(text)) else None


def _not_accepted(text: str, command: str, options: Collection[str]) -> str | None:
    if not (found := _NOT_ACCEPTED.search(text)):
        return None
    key, paths = _key(text), _CLASS.findall(text[: found.start()]) or _CLASS.findall(text)
    if found[1] == "class_path":
        return f"{key}: its options belong under init_args, beside class_path"
    if not paths:
        return f"{key} has no option {found[1]!r}"
    # Classes lie in each other, as Augment in a dataset; the innermost one refused.
    name, near = paths[-1].rpartition(".")[2], did_you_mean(found[1], _parameters(paths[-1]))
    return f"{key}: {name} has no option {found[1]!r}{near}"


def _no_subclass(text: str, command: str, options: Collection[str]) -> str | None:
    if found := _NO_SUBCLASS.search(text):
        return f"{_key(text)}: {found[1]} is no {found[2]}; convkit plugins lists what there is"
    if found := _NO_SUBCLASS_PATH.search(text):
        value = _VALUE.search(text)
        return f"{_key(text)}: {value[1] if value else 'this'} is no {found[1]}; convkit plugins lists what there is"
    return None


def _no_callable(text: str, command: str, options: Collection[str]) -> str | None:
    if not (found := _NO_CALLABLE.search(text)):
        return None
    return f"{_key(text)}: {found[2]} cannot be used: {found[1]}; convkit plugins lists what there is"


def _class_problem(text: str, command: str, options: Collection[str]) -> str | None:
    if not (found := _CLASS_PROBLEM.search(text)):
        return None
    return f"{_key(text)}: {found[1]} cannot be used: {found[2]}"


def _wrong_value(text: str, command: str, options: Collection[str]) -> str | None:
    key = _key(text)
    innermost = text[[found.start() for found in _KEY.finditer(text)][-1] :] if key else text
    if not (key and (value := _VALUE.search(innermost))):
        return None
    own = innermost[: value.end(1)]
    if found := _NO_CLASS_PATH.search(own):
        named = f"; its options are {', '.join(_parameters(found[2]))}" if found[2] else ""
        return f"{key} cannot be {_quoted(value[1])}; wanted a name, or class_path with init_args{named}"
    if not (wanted := _WANTED.findall(own)):
        return None
    types = list(dict.fromkeys(_PLAIN.get(name, name) for name, _ in wanted if name))
    choices = [choice.strip(" '\"") for _, literal in wanted for choice in literal.strip("[]").split(",") if choice]
    expected = ", ".join(dict.fromkeys([*choices, *types]))
    return f"{key} cannot be {_quoted(value[1])}; wanted {'one of ' if choices else ''}{expected}"


def _linked(text: str, command: str, options: Collection[str]) -> str | None:
    found = _LINKED.search(text)
    return f"{found[1]} is what the {found[2]} says it is, and cannot be given" if found else None


def _no_group(text: str, command: str, options: Collection[str]) -> str | None:
    if not (found := _NO_GROUP.search(text)):
        return None
    example = "model.architecture" if found[1] == "model" else next(o for o in options if o.startswith(f"{found[1]}."))
    return f"{found[1]} is a group of options and cannot be {found[2]!r}; did you mean --{example}?"


def _quoted(value: str) -> str:
    """A text in quotes; a list or mapping as it is."""
    return value if value.startswith(("[", "{")) else repr(value)


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
    _linked,
    _no_group,
    _not_accepted,
    _no_subclass,
    _no_callable,
    _class_problem,
    _wrong_value,
]
