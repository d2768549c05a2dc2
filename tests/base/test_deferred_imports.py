"""Modules that are loaded when they are first used."""

import importlib
import subprocess
import sys

from geographer.base.deferred_imports import defer_import


def test_module_is_loaded_by_its_first_use(tmp_path, monkeypatch):
    """Importing it does nothing; an attribute loads it; what is loaded or missing stays so."""
    (tmp_path / "deferred_example.py").write_text("print('loaded'); value = 3\n")
    monkeypatch.syspath_prepend(tmp_path)
    loaded: list[object] = []
    monkeypatch.setattr("builtins.print", loaded.append)
    defer_import("deferred_example")
    deferred_example = importlib.import_module("deferred_example")
    assert loaded == []
    assert deferred_example.value == 3
    assert loaded == ["loaded"]
    defer_import("deferred_example")
    assert sys.modules.pop("deferred_example") is deferred_example
    defer_import("no_such_module")
    assert "no_such_module" not in sys.modules


def test_rasters_do_not_load_boto3():
    """Boto3 is there for rasterio, but botocore, which it needs, is not loaded."""
    code = "import sys, geographer.rasters.read, rasterio.session as s; sys.exit(bool('botocore' in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
