"""What `geographer` offers by name: every class of errors, and what needs no engine until it is used."""

from __future__ import annotations

import inspect
import subprocess
import sys

import geographer
from geographer.base import errors


def test_every_error_class_is_public() -> None:
    classes = {
        name for name, value in vars(errors).items() if inspect.isclass(value) and value.__module__ == errors.__name__
    }
    assert classes - set(geographer.__all__) == set()
    assert {name: getattr(geographer, name) for name in classes} == {name: getattr(errors, name) for name in classes}
    assert all(issubclass(getattr(errors, name), geographer.GeographerError) for name in classes)


def test_every_public_name_can_be_imported() -> None:
    assert [name for name in geographer.__all__ if not hasattr(geographer, name)] == []
    assert sorted(geographer.__all__) == sorted(set(geographer.__all__))
    assert dir(geographer) == sorted(geographer.__all__)


def test_errors_are_imported_without_engines() -> None:
    script = (
        "import sys, geographer; geographer.ConflictError; print(*{name.partition('.')[0] for name in sys.modules})"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not set(run.stdout.split()) & {"duckdb", "dvc", "rasterio", "shapely", "pyarrow", "numpy", "msgspec"}
