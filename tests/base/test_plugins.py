"""Which plugins count as not installed, and which as broken: a broken one shows the real reason."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import pytest

from geographer.base.errors import PluginError, UsageError
from geographer.base.plugins import PluginKind

CHOOSERS = PluginKind("chooser", "geographer.choosers", built_in={"first": "plugin_package.good:choose"})


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of `sys.path` with a package of plugins."""
    package = tmp_path / "plugin_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "good.py").write_text("def choose(): ...\n\nclass Group:\n    def choose(self): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "plugin_package"]:
        del sys.modules[name]


@pytest.fixture
def install_entry_point(monkeypatch: pytest.MonkeyPatch) -> Any:
    def replace_entry_points(name: str, value: str) -> None:
        entries = EntryPoints([EntryPoint(name, value, CHOOSERS.group)])
        monkeypatch.setattr("importlib.metadata.entry_points", lambda **parameters: entries.select(**parameters))

    return replace_entry_points


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize(
    "name", ["first", "plugin_package.good:choose", "plugin_package.good:Group", "plugin_package.good:Group.choose"]
)
def test_plugins_are_loaded_by_name(name: str) -> None:
    assert callable(CHOOSERS.load_plugin(name))
    assert CHOOSERS.resolve_plugin(name).require_plugin() is CHOOSERS.load_plugin(name)


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize(
    "name",
    [
        *("absent", "absent:choose", "absent.deep.inside:choose", "plugin_package.absent:choose"),
        *("plugin_package.good.choose:more", "plugin_package.good", "plugin_package.good:", ":choose", ".good:choose"),
        *("", "a b:c", "../good:choose"),
    ],
)
def test_absent_plugin_is_not_found(name: str) -> None:
    assert CHOOSERS.load_plugin(name) is None
    with pytest.raises(PluginError, match=re.escape(f"chooser '{name}' not found") + ".*installed: 'first'.*Install"):
        CHOOSERS.resolve_plugin(name)


def test_plugin_of_a_script_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def choose() -> None: ...

    monkeypatch.setattr(choose, "__module__", "__main__")
    monkeypatch.setattr(choose, "__qualname__", "choose")
    with pytest.raises(UsageError, match="chooser 'choose' is defined in a script or notebook"):
        CHOOSERS.resolve_plugin(choose)


BROKEN_MODULES = {
    "import absent_package": "ModuleNotFoundError: No module named 'absent_package'",
    "import plugin_package.absent": "ModuleNotFoundError: No module named 'plugin_package.absent'",
    "from json import absent": "ImportError: cannot import name 'absent'",
    "def choose(:": "SyntaxError: invalid syntax",
    "raise RuntimeError('no graphics card')": "RuntimeError: no graphics card",
    "raise SystemExit(0)": "SystemExit: 0",
    "def chooses(): ...": "AttributeError: module 'plugin_package.broken' has no attribute 'choose'",
}


@pytest.mark.parametrize(("code", "reason"), BROKEN_MODULES.items(), ids=BROKEN_MODULES.values())
def test_broken_plugin_shows_the_reason(site: Path, code: str, reason: str) -> None:
    (site / "plugin_package/broken.py").write_text(code)
    expected = re.escape(f"chooser 'plugin_package.broken:choose' cannot be imported ({reason}")
    for _ in range(2):
        with pytest.raises(PluginError, match=f"{expected}.*Correct it, or install"):
            CHOOSERS.load_plugin("plugin_package.broken:choose")


@pytest.mark.usefixtures("site")
def test_entry_point_is_loaded_and_counts_as_installed(install_entry_point: Any) -> None:
    install_entry_point("mine", "plugin_package.good:choose")
    assert CHOOSERS.load_plugin("mine") is CHOOSERS.load_plugin("first")
    install_entry_point("mine", "uninstalled:choose")
    with pytest.raises(PluginError, match=r"'mine' cannot be imported \(ModuleNotFoundError: No module named 'uninst"):
        CHOOSERS.load_plugin("mine")
