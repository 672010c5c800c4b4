"""How a network starts: which of its tensors come from other weights, and which are its own, new ones."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from convkit.convnet import ConvNet
from convkit.errors import UserError
from convkit.parts import HEAD, parameters_of, parts, select
from convkit.sources import Source, read_source
from convkit.weights import COUNTER, differences, state_dict_of

_NEW_HEAD = 1e-3  # standard deviation of a new classifier's weights


@dataclass
class Start:
    """What a network took from ``source``; ``loaded`` and ``fresh`` are its keys, ``skipped`` keys of the source."""

    source: Source
    loaded: list[str]
    fresh: list[str]
    skipped: list[str]
    relabelled: bool = False  # the classifier is fresh because its classes are others
    settled: bool = False  # no labels will be compared any more: a fit has begun
    _initial: dict[str, Tensor] = field(default_factory=dict, repr=False)

    def settle(self, net: ConvNet, class_names: Sequence[str] | None) -> None:
        """Before the first step: a classifier that was loaded for other classes gets its initial tensors back.

        Args:
            net: the network that was started.
            class_names: the data's, in order; None where nobody knows.
        """
        if not self.settled and self._are_others(class_names):
            own = net.state_dict()  # shares its memory
            for key, value in self._initial.items():
                own[key].copy_(value)
            self.loaded = [key for key in self.loaded if key not in self._initial]
            fresh = {*self.fresh, *self._initial}
            self.fresh, self.relabelled = [key for key in own if key in fresh], True
        self.settled, self._initial = True, {}

    def refuse_untrained(self, net: ConvNet, class_names: Sequence[str] | None) -> None:
        """Evaluation before any fit wants every tensor from the source, but for auxiliary heads, and its classes.

        Raises:
            UserError: a tensor would be a fresh one, or the classes are others.
        """
        if self.settled:
            return
        untrained = {name: keys for name, keys in by_part(net, self.fresh).items() if name not in net.aux_heads}
        if untrained:
            raise UserError(f"{self.source.given} leaves untrained: {listed(untrained)}; train it with convkit fit")
        if self._are_others(class_names):
            ours, theirs = (_some(names or ()) for names in (class_names, self.source.class_names))
            raise UserError(
                f"the classifier in {self.source.given} tells {theirs} apart, and the data's classes are {ours}; "
                "convkit fit trains a new one"
            )

    def _are_others(self, class_names: Sequence[str] | None) -> bool:
        known = self.source.class_names
        return known is not None and class_names is not None and known != list(class_names)

    def told(self, net: ConvNet) -> str:
        """One line: how many tensors were loaded, what is fresh, what was skipped."""
        line = f"started from {self.source.given}: {len(self.loaded)} tensors loaded"
        if self.fresh:
            line += f"; fresh: {listed(by_part(net, self.fresh))}{', for other classes' * self.relabelled}"
        if self.skipped:
            line += f"; skipped: {listed(by_part(net, self.skipped))}"
        return line

    def record(self) -> dict[str, Any]:
        """For ``init_from.json``, in plain values."""
        source = {"init_from": self.source.given, "path": str(self.source.path), "sha256": self.source.sha256}
        return {**source, "loaded": self.loaded, "fresh": self.fresh, "skipped": self.skipped}


def start_from(net: ConvNet, given: str | Path, fresh: Sequence[str] = ()) -> Start:
    """Load what ``given`` has for ``net``; what is not loaded keeps its values, but the weights of the
    head's last layer are drawn anew, near zero.

    Fresh are: what ``fresh`` selects, whatever the source has for it; a classifier, the network's or an auxiliary
    head's, that the source lacks or has for another number of classes; an auxiliary head that it lacks. Skipped are
    the source's auxiliary heads that the network lacks, and what no fresh part has a place for.

    Args:
        given: see :func:`convkit.sources.read_source`.
        fresh: stages, modules and patterns; see :func:`convkit.parts.select`.

    Raises:
        UserError: the source cannot be read, any other tensor is missing, surplus or of another shape (naming some),
            ``fresh`` selects nothing, or everything.
    """
    anew = _selected(net, fresh)  # a misspelt name is told before anything is downloaded
    source, contents = read_source(str(given))
    state, own = state_dict_of(contents, net), net.state_dict()
    classifiers = _classifiers(net)
    for keys in classifiers:
        if any(key not in state or state[key].shape != own[key].shape for key in keys):
            anew.update(keys)
    for path in net.aux_heads.values():
        if not any(_within(key, path) for key in state):
            anew.update(key for key in own if _within(key, path))
    places = _places(net, anew)
    skipped = [key for key in state if key not in own and any(_within(key, place) for place in places)]
    if why := differences(net, state, {*anew, *skipped}):
        raise UserError(
            f"the weights in {given} do not fit {type(net).__name__}: {why}{_way_out(net, state, anew, fresh)}"
        )
    loaded = [key for key in own if key in state and key not in anew]
    if not loaded:
        raise UserError(f"model.fresh leaves nothing to load from {given}; leave out one of the two")
    compared = [key for keys in classifiers for key in keys if key not in anew] if source.class_names else []
    for key in _last_layer(net, HEAD) if HEAD in net.stages else ():
        # A classifier that is drawn wide (from -0.7 to 0.7 for two classes in timm's EfficientNets) pulls at what the
        # layers below have learned. Near zero all classes are equally likely; at zero nothing below would learn in the
        # first step.
        own[key].normal_(std=_NEW_HEAD) if own[key].ndim > 1 else own[key].zero_()
    initial = {key: own[key].clone() for key in compared}
    net.load_state_dict({key: state[key] for key in loaded}, strict=False)
    return Start(source, loaded, [key for key in own if key in anew], skipped, _initial=initial)


def _selected(net: ConvNet, names: Iterable[str]) -> set[str]:
    """The keys of the parameters that the names select; with a whole stage or module, those of its buffers too."""
    chosen = {key for name in names for key in select(net, name, "model.fresh")}
    of_module: dict[str, list[str]] = {}
    for key, _ in net.named_parameters():
        of_module.setdefault(key.rpartition(".")[0], []).append(key)
    whole = {module for module, own in of_module.items() if chosen.issuperset(own)}
    for modules in parts(net).values():
        learning = of_module.keys() & modules
        if learning and learning <= whole:
            whole.update(modules)  # those with buffers alone
    return chosen | {key for key in net.state_dict() if key.rpartition(".")[0] in whole}


def _classifiers(net: ConvNet) -> list[list[str]]:
    """The keys of each layer that has a row for every class: the head, and the last layer of an auxiliary head."""
    found = [_head(net), *(_last_layer(net, name) for name in net.aux_heads)]
    return [keys for keys in found if keys]


def _head(net: ConvNet) -> list[str]:
    return [key for key in net.state_dict() if HEAD in net.stages and _within(key, net.stages[HEAD])]


def _last_layer(net: ConvNet, part: str) -> list[str]:
    """The keys of the last layer with parameters in a stage or auxiliary head."""
    last = [path for path in parts(net)[part] if parameters_of(net, [path])][-1:]
    return [key for key in net.state_dict() if key.rpartition(".")[0] in last]


def _places(net: ConvNet, anew: set[str]) -> list[str]:
    """Where the network need not have what the source has: fresh stages, and auxiliary heads that it lacks."""
    lacked = set(type(net).aux_heads.values()) - set(net.aux_heads.values())
    points = {**net.aux_heads, **net.stages}
    fresh = [name for name, modules in parts(net).items() if (own := parameters_of(net, modules)) and anew >= {*own}]
    return [*lacked, *(points[name] for name in fresh)]


def _way_out(net: ConvNet, state: Mapping[str, Tensor], anew: set[str], fresh: Sequence[str]) -> str:
    """Where the rest is this network's: the stages that would have to be fresh too."""
    own = net.state_dict()
    needed = [key for key in own if key not in anew and not key.endswith(COUNTER)]
    stages = [*by_part(net, (key for key in needed if key not in state or state[key].shape != own[key].shape))]
    if len(stages) > len(net.stages) / 2:
        return ""
    places = _places(net, anew | _selected(net, stages))
    if any(key not in own and not any(_within(key, place) for place in places) for key in state):
        return ""
    return f"; --model.fresh '[{', '.join([*fresh, *stages])}]' starts the rest anew"


def by_part(net: ConvNet, keys: Iterable[str]) -> dict[str, list[str]]:
    """The keys by the stage or auxiliary head that they belong to; those of parts that the network lacks too."""
    owner = {module: name for name, modules in parts(net).items() for module in modules}
    points = {**type(net).aux_heads, **net.aux_heads, **net.stages}
    found: dict[str, list[str]] = {}
    for key in keys:
        inside = (name for name, path in points.items() if _within(key, path))
        name = owner.get(key.rpartition(".")[0]) or next(inside, key)
        found.setdefault(name, []).append(key)
    return found


def listed(keys: Mapping[str, Sequence[str]]) -> str:
    return ", ".join(
        f"{name} ({', '.join(own) if len(own) <= 3 else f'{len(own)} tensors'})" for name, own in keys.items()
    )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + ", …" * (len(names) > 3)


def _within(key: str, path: str) -> bool:
    return key.startswith(f"{path}.")
