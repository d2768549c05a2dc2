"""Versions of the software that decides the bytes of files: those of a cluster's workers must equal the client's."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from geographer import __version__
from geographer.base.errors import UsageError

_PACKAGES: Final = ("numpy", "rasterio", "shapely", "scipy", "duckdb", "pyarrow")

Versions = Mapping[str, str]


@cache
def read_package_versions() -> Versions:
    """Return the versions of geographer, Python (without its patch) and the packages that compute pixels or rows."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return {"geographer": __version__, "Python": python, **{name: _read_version(name) for name in _PACKAGES}}


def _read_version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


def read_versions(read_more: Callable[[], Versions] | None = None) -> Versions:
    """Return the versions of this process, with those that `read_more` adds, such as GDAL's."""
    return {**read_package_versions(), **(read_more() if read_more else {})}


def require_equal_versions(worker: str, expected: Versions, found: Versions) -> None:
    """Raise `UsageError` if a worker has other versions than the client."""
    differences = [
        f"{name} {found.get(name, 'none')} (client: {value})"
        for name, value in expected.items()
        if found.get(name) != value
    ]
    if differences:
        raise UsageError(
            f"worker {worker} has other versions, so its files could differ: {', '.join(differences)}. Install the "
            "client's versions on all workers."
        )
