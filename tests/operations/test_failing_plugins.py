"""A plugin that is missing or fails to import stops its own recipe only, with the real reason and an exit code."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from geographer import Dataset
from geographer.base.errors import PluginError
from geographer.cli import geographer_command
from tests.operations.pond_dataset import add_points

PLUGINS = """
import numpy
from geographer import Cutter, Window

def select_all(features):
    return features["feature_id"].to_pylist()

class Corner(Cutter):
    version = "1"

    def windows(self, features, rasters, contained, *, seed):
        return [(row["raster_id"], Window(0, 0, 4, 4)) for row in rasters.to_pylist()]

class Zero:
    version = "1"

    def draw(self, objects, grid):
        return numpy.zeros((grid.height, grid.width), "uint8")
"""
BROKEN = "import absent_package\n"
RECIPES = {
    "select_all": lambda dataset: dataset.cut_around_features("plugged", size=4, where="@my_plugins:select_all"),
    "Corner": lambda dataset: dataset.cut_custom("plugged", cutter="my_plugins:Corner", size=4),
    "Zero": lambda dataset: dataset.label_custom("plugged", collection="source", maker="my_plugins:Zero"),
}


@pytest.fixture
def plugin_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "plugins" / "my_plugins.py"
    path.parent.mkdir()
    path.write_text(PLUGINS)
    monkeypatch.syspath_prepend(path.parent)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return path


def forget_plugins() -> None:
    """Let the next use import the plugins again, as in a new process."""
    sys.modules.pop("my_plugins", None)
    importlib.invalidate_caches()


@pytest.mark.parametrize("plugin", RECIPES)
@pytest.mark.parametrize("is_installed", [True, False])
def test_update_skips_recipe_of_failing_plugin(
    pond_dataset: Dataset, plugin_file: Path, plugin: str, is_installed: bool
) -> None:
    RECIPES[plugin](pond_dataset)
    pond_dataset.cut_around_features("later", size=4)
    add_points(pond_dataset, plugin_file.parent, {"n3": (9.5, 55.5)})
    if is_installed:
        plugin_file.write_text(BROKEN)
    else:
        plugin_file.unlink()
    forget_plugins()
    command = ["-C", str(pond_dataset.root), "update", "--workers", "1", "--json"]
    run = CliRunner().invoke(geographer_command, command)
    results = [json.loads(line) for line in run.stdout.splitlines()]
    assert [result["recipe"]["name"] for result in results] == ["plugged", "later"]
    if plugin == "select_all" and not is_installed:
        # The ids that an absent selector selected in its last run are used.
        assert run.exit_code == 0, run.output
        return
    assert run.exit_code == PluginError.exit_code, run.output
    assert [result["changed"] for result in results] == [False, True]
    reason = "ModuleNotFoundError: No module named 'absent_package'" if is_installed else "not found"
    (warning,) = results[0]["warnings"]
    assert "recipe 'plugged' was skipped" in warning
    assert f"'my_plugins:{plugin}'" in warning
    assert reason in warning
    plugin_file.write_text(PLUGINS)
    forget_plugins()
    assert CliRunner().invoke(geographer_command, command).exit_code == 0


def test_broken_selector_never_reuses_its_last_selection(pond_dataset: Dataset, plugin_file: Path) -> None:
    RECIPES["select_all"](pond_dataset)
    plugin_file.write_text(BROKEN)
    forget_plugins()
    head = pond_dataset.log(1)
    with pytest.raises(PluginError, match=r"'my_plugins:select_all' cannot be imported \(ModuleNotFoundError"):
        RECIPES["select_all"](pond_dataset)
    (result,) = pond_dataset.update()
    assert isinstance(result.error, PluginError)
    assert pond_dataset.log(1) == head
