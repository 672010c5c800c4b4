"""Plugins that mean ill, metadata that is broken, requirements that do not hold: each is told, and hurts no other."""

import json
import subprocess
import sys
from importlib import import_module

import pytest

from convkit import plugins
from convkit.blame import blame
from convkit.cli.front import main
from convkit.made_with import plugins_of
from convkit.plugin_health import marks
from test_plugins import Install, install  # noqa: F401 - a fixture

# ruff: noqa: F811


@pytest.mark.parametrize(
    ("need", "note"),
    [
        ("convkit>=99; extra == 'next'", ""),
        ("convkit>=99; python_version < '3'", ""),
        ("no-such-library>=2; extra == 'next'", ""),
        ("torch", ""),
        ("no-such-library>=2", "needs no-such-library, which is not installed: pip install 'no-such-library>=2'"),
        ("no-such-library; extra == 'gpu'", "needs the extra gpu: pip install 'some-net[gpu]'"),
        ("convkit>=99; extra == 'gpu'", "requires convkit>=99, and this is convkit 0.1.0"),
    ],
)
def test_requirements_hold_here_or_are_none(install: Install, need: str, note: str) -> None:
    install("some-net", "0.3", ["convkit>=0.1", need], architectures={"some": "some_net:Net [gpu]"})
    plugin = plugins.find("architecture", "some")
    assert marks(plugins.installed()).get(plugin, "") == note


BROKEN_FILES = {
    "lines": (b"[convkit.architectures]\nno equals sign\n", "line 2 has no ="),
    "bytes": (b"[convkit.architectures]\n\xff\xfe = x:y\n", "it is not UTF-8"),
}


@pytest.mark.parametrize("which", BROKEN_FILES)
def test_a_file_that_cannot_be_read_hides_no_other(
    install: Install, which: str, capsys: pytest.CaptureFixture[str]
) -> None:
    contents, why = BROKEN_FILES[which]
    folder = install("malformed", "1.2", architectures={"some": "x:y"}) / "malformed-1.2.dist-info"
    (folder / "entry_points.txt").write_bytes(contents)
    plugins.installed.cache_clear()
    assert plugins.find("architecture", "lenet").distribution == "convkit"
    (found,) = plugins.unreadable()
    line = f"{folder}/entry_points.txt cannot be read: {why}; repair or uninstall malformed"
    assert (found.distribution, found.version, found.wrong) == ("malformed", "1.2", line)
    assert main(["plugins", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["note"] for row in rows if row["distribution"] == "malformed"] == [line]
    if which == "bytes":
        return
    code = "from convkit.cli.front import main; raise SystemExit(main(['inspect', 'lenet']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=folder.parent)
    # torch reads every such file when it is imported, and dies of one; the file is named.
    assert (done.returncode, done.stderr) == (2, f"convkit: error: {line}\n")


def test_what_convkit_itself_raises_is_nobodys() -> None:
    with pytest.raises(ValueError, match="Expecting") as raised:
        json.loads("{")
    assert blame(raised.value) is None


def test_a_plugin_offered_again_from_another_package_is_known(install: Install) -> None:
    folder = install("re-net", "1.5", architectures={"renet": "renet:Net"}, schedules={"resched": "renet:Plain"})
    (folder / "_renet_impl.py").write_text("class Net: pass\nclass Plain: pass\n")
    (folder / "renet.py").write_text("from _renet_impl import Net, Plain\n")
    config = {"model": {"architecture": {"class_path": "_renet_impl.Net"}, "schedule": None}, "data": None}
    assert list(plugins_of(config)) == []  # neither is imported, and no list of files says whose it is
    import_module("renet")
    found = plugins.behind("architecture", "_renet_impl.Net")
    assert (found.name, found.distribution, found.version) == ("renet", "re-net", "1.5")
    for module in ("renet", "_renet_impl"):
        del sys.modules[module]
    (folder / "re_net-1.5.dist-info" / "RECORD").write_text("_renet_impl.py,,\nrenet.py,,\n")
    assert plugins.behind("architecture", "_renet_impl.Net") == found
    [recorded] = plugins_of(config)
    assert recorded == {"kind": "architecture", "name": "renet", "distribution": "re-net", "version": "1.5",
                        "path": "renet:Net"}  # fmt: skip


def test_torchs_own_import_is_not_the_plugins(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = install("quick-net", architectures={"quick": "quick_net:Net"})
    (folder / "quick_net.py").write_text("import convkit.plugins as p\nNet = [*p.ORDER]")
    order: list[str] = []
    monkeypatch.setattr(plugins, "ORDER", order, raising=False)
    monkeypatch.setattr(plugins, "import_module", lambda name: (order.append(name), import_module(name))[1])
    monkeypatch.setattr("threading.Timer.start", lambda self: order.append("the clock"))
    assert plugins.load(plugins.find("architecture", "quick")) == [
        "torch",
        "lightning.pytorch",
        "the clock",
        "quick_net",
    ]
