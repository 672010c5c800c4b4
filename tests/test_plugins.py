"""Entry points of fabricated distributions: listed without an import, chosen by name, broken ones by themselves."""

import inspect
import json
import subprocess
import sys
import typing
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from convkit import plugins
from convkit.errors import UserError, did_you_mean
from convkit.plugin_health import changed, marks
from convkit.requirements import normalized

KINDS = {plural.removeprefix("convkit."): kind for kind, plural in plugins.GROUPS.items()}
Install = Callable[..., Path]


def distribution(
    folder: Path, name: str, version: str = "1.0", needs: Sequence[str] = (), **groups: dict[str, str]
) -> None:
    """What pip leaves of a distribution: its metadata and its entry points."""
    info = folder / f"{normalized(name).replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        + "".join(f"Requires-Dist: {need}\n" for need in needs)
    )
    lines = [
        line
        for group, entries in groups.items()
        for line in (f"[convkit.{group}]", *(f"{entry} = {target}" for entry, target in entries.items()))
    ]
    (info / "entry_points.txt").write_text("\n".join(lines))


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Installs distributions into a folder that is on ``sys.path`` for this test."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    clear = plugins.installed.cache_clear  # of the true one, whatever a test puts in its place

    def add(name: str, version: str = "1.0", needs: Sequence[str] = (), **groups: dict[str, str]) -> Path:
        distribution(tmp_path, name, version, needs, **groups)
        clear()
        return tmp_path

    yield add
    clear()
    for module in set(sys.modules) - before:
        if (getattr(sys.modules[module], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[module]


def test_lists_without_importing(install: Install) -> None:
    folder = install("strange-net", "2.3", architectures={"strange": "strange_net:Strange [gpu]"})
    (folder / "strange_net.py").write_text("raise RuntimeError('imported')")
    (found,) = (plugin for plugin in plugins.installed() if plugin.name == "strange")
    assert found.as_dict() == {
        "kind": "architecture",
        "name": "strange",
        "distribution": "strange-net",
        "version": "2.3",
        "target": "strange_net:Strange",
    }
    assert found.path == "strange_net.Strange"
    assert "strange_net" not in sys.modules


def test_listing_is_sorted_by_kind_and_name(install: Install) -> None:
    install("zoo", schedules={"aaa": "zoo:S"}, architectures={"zzz": "zoo:Z", "aaa": "zoo:A"})
    kinds = list(plugins.GROUPS)
    order = [(kinds.index(plugin.kind), plugin.name) for plugin in plugins.installed()]
    assert order == sorted(order)


@pytest.mark.parametrize(
    ("wrong", "kind", "said"),
    [
        ("lenett", "architecture", "unknown architecture 'lenett'; did you mean lenet?"),
        ("fashion-mnist", "dataset", "unknown dataset 'fashion-mnist'; did you mean fashion_mnist?"),
        ("convkit:lenett", "architecture", "did you mean convkit:lenet?"),
        ("qqqq", "schedule", "unknown schedule 'qqqq'; choose from "),
        ("digits", "architecture", "'digits', which names another kind of plugin (dataset)"),
        ("nobody:lenet", "architecture", "unknown architecture 'nobody:lenet'; choose from convkit:lenet"),
    ],
)
def test_unknown_names(wrong: str, kind: str, said: str) -> None:
    with pytest.raises(UserError) as raised:
        plugins.find(kind, wrong)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_two_distributions_with_one_name(install: Install) -> None:
    install("one", "1.1", datasets={"birds": "one:Birds"})
    install("other", "2.2", datasets={"birds": "other:Birds"})
    with pytest.raises(UserError) as raised:
        plugins.find("dataset", "birds")
    assert str(raised.value) == (
        "dataset 'birds' is offered by one 1.1 and other 2.2; choose with one:birds or other:birds"
    )
    assert plugins.find("dataset", "other:birds").target == "other:Birds"
    assert plugins.find("dataset", "digits").distribution == "convkit"  # nobody else's name suffers


@pytest.mark.parametrize("spelling", ["My_Plugin", "my-plugin", "MY.plugin", "my__plugin"])
def test_distribution_names_compare_as_pip_compares_them(install: Install, spelling: str) -> None:
    install("My_Plugin", datasets={"birds": "mine:Birds"})
    assert plugins.find("dataset", f"{spelling}:birds").distribution == "My_Plugin"


def test_a_distribution_on_two_entries_of_the_path_is_one(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("twice", "1.0", datasets={"birds": "new:Birds"})
    distribution(tmp_path / "older", "Twice", "0.9", datasets={"birds": "old:Birds"})
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "older"), str(tmp_path)])
    plugins.installed.cache_clear()
    assert [plugin.target for plugin in plugins.named("dataset")["birds"]] == ["new:Birds"]
    assert plugins.find("dataset", "birds").version == "1.0"


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        ("def broken(:", "SyntaxError: invalid syntax (broken_net.py, line 1)"),
        ("raise ValueError('several\\n\\n  lines')", "ValueError: several lines"),
        ("raise SystemExit", "SystemExit"),
        ("assert False", "AssertionError"),
        ("x = 1", "AttributeError: module 'broken_net' has no attribute 'Net'"),
    ],
)
def test_a_broken_plugin_is_explained_and_breaks_only_itself(install: Install, source: str, cause: str) -> None:
    folder = install("broken-net", "0.3", architectures={"broken": "broken_net:Net"})
    (folder / "broken_net.py").write_text(source)
    assert plugins.find("architecture", "lenet").name == "lenet"
    with pytest.raises(UserError) as raised:
        plugins.load(plugins.find("architecture", "broken"))
    assert str(raised.value) == (
        f"architecture 'broken' of broken-net 0.3 (broken_net:Net) cannot be loaded: {cause}; "
        "repair or uninstall broken-net"
    )


def test_what_a_plugin_lacks_is_named(install: Install) -> None:
    needs = ["no-such-library>=1; extra == 'speed'", "torch"]
    folder = install("fast-net", "0.3", needs, architectures={"fast": "fast_net:Net", "lost": "lost_net:Net"})
    (folder / "fast_net.py").write_text("import no_such_library.fast")
    (folder / "lost_net.py").write_text("import another_library")
    with pytest.raises(UserError, match=r"it needs the extra speed: pip install 'fast-net\[speed\]'$"):
        plugins.load(plugins.find("architecture", "fast"))
    with pytest.raises(UserError) as raised:
        plugins.load(plugins.find("architecture", "lost"))
    # Its own name is not that of what brings it, as with sklearn of scikit-learn: what is not there is named.
    assert str(raised.value).endswith(
        "another_library, which is not installed; perhaps it comes with pip install 'fast-net[speed]'"
    )


def test_one_for_a_newer_convkit_is_marked_and_not_imported(install: Install) -> None:
    folder = install("new-net", "0.3", ["convkit>=99"], architectures={"newest": "new_net:Net"})
    (folder / "new_net.py").write_text("raise SystemExit('imported')")
    plugin = plugins.find("architecture", "newest")
    assert marks(plugins.installed())[plugin].startswith("requires convkit>=99, and this is convkit 0.")
    with pytest.raises(UserError, match=r"requires convkit>=99, and this is convkit 0\.\S+; upgrade convkit"):
        plugins.load(plugin)


def test_two_of_one_name_are_marked_with_the_way_to_choose(install: Install) -> None:
    install("one-net", architectures={"shared": "one_net:Net"})
    install("other-net", architectures={"shared": "other_net:Net"})
    notes = marks(plugins.installed())
    assert notes[plugins.find("architecture", "one-net:shared")] == ("also of other-net: choose with one-net:shared")
    assert len(notes) == 2


def test_whose_import_takes_long_is_told(
    install: Install, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = install("slow-net", "0.3", architectures={"slow": "slow_net:Net"})
    (folder / "slow_net.py").write_text("import time\ntime.sleep(0.3)\nNet = object")
    monkeypatch.setattr(plugins, "PATIENCE", 0.05)
    plugins.load(plugins.find("architecture", "slow"))
    assert capsys.readouterr().err == (
        "still importing architecture 'slow' of slow-net 0.3 (slow_net:Net); Ctrl-C ends it\n"
    )


def test_what_a_run_was_made_with(install: Install) -> None:
    install("birds", "1.1", datasets={"birds": "birds:Birds"})
    known = {"kind": "dataset", "name": "birds", "distribution": "birds", "path": "birds:Birds"}
    gone = {"kind": "schedule", "name": "fast", "distribution": "gone-net", "version": "2.0", "path": "gone:Fast"}
    own = {"kind": "architecture", "name": "lenet", "distribution": "convkit", "version": "0.0.1", "path": "x:y"}
    assert not [*changed([{**known, "version": "1.1"}, own])]
    assert [*changed([{**known, "version": "1.0"}])] == [(False, "it was made with birds 1.0, and 1.1 is installed")]
    assert [*changed([{**gone, "kind": "schedules"}])] == [*changed([gone])]  # as the first runs have it
    assert [*changed([gone])] == [
        (True, "it was made with the schedule 'fast' of gone-net 2.0, which is not installed; "
               "pip install 'gone-net==2.0'")
    ]  # fmt: skip


def test_half_a_distribution_is_listed_with_what_is_known(install: Install) -> None:
    folder = install("half", datasets={"birds": "half:Birds"})
    (folder / "half-1.0.dist-info" / "METADATA").unlink()
    plugins.installed.cache_clear()
    found = plugins.find("dataset", "birds")
    assert (found.distribution, found.version) == ("?", "?")


@pytest.mark.parametrize("target", ["json.decoder:JSONDecoder", "json.decoder.JSONDecoder", "json:decoder.JSONDecoder"])
def test_paths_of_both_forms(target: str) -> None:
    assert plugins.import_path(target) is json.decoder.JSONDecoder


def test_the_command_lists_a_plugin_that_cannot_be_imported(install: Install) -> None:
    folder = install("broken-net", "0.3", architectures={"broken": "broken_net:Net"})
    (folder / "broken_net.py").write_text("def broken(:")
    code = "from convkit.cli.front import main; raise SystemExit(main(['plugins', '--json']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=folder, check=True)
    rows = json.loads(done.stdout)
    assert {tuple(row) for row in rows} == {("kind", "name", "distribution", "version", "target", "note")}
    assert {"broken", "lenet", "digits", "plateau"} <= {row["name"] for row in rows}


BUILT_IN = [plugin for plugin in plugins.installed() if plugin.distribution == "convkit"]


@pytest.mark.parametrize("plugin", BUILT_IN, ids=lambda plugin: f"{plugin.kind}-{plugin.name}")
def test_every_built_in_loads(plugin: plugins.Plugin) -> None:
    found = plugins.load(plugin)
    if not inspect.isclass(found):
        assert inspect.isfunction(found)
        assert typing.get_type_hints(found).get("return") is not None  # jsonargparse chooses functions by it
    assert inspect.getdoc(found)


def test_there_are_built_ins_of_every_kind_that_the_quickstart_needs() -> None:
    assert {"architecture", "dataset", "schedule"} <= {plugin.kind for plugin in BUILT_IN}


@pytest.mark.parametrize(
    ("name", "choices", "said"),
    [("rat", ["cat", "horse"], "; did you mean cat?"), ("x", ["b", "a", "b"], "; choose from a, b"), ("x", [], "")],
)
def test_did_you_mean(name: str, choices: list[str], said: str) -> None:
    assert did_you_mean(name, choices) == said
