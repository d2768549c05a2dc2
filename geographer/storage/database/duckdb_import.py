"""Import DuckDB without `importlib.metadata`, which takes a third of the time, and which only its version needs."""

import sys
from types import ModuleType


def import_duckdb() -> None:
    """Import DuckDB, whose module of the version has that of its engine, unless it is imported.

    The distribution has the same version, which is pinned.
    """
    if "duckdb" in sys.modules:
        return
    import _duckdb

    version = ModuleType("duckdb._version")
    version.__version__ = version.__duckdb_version__ = _duckdb.__version__  # type: ignore[attr-defined]
    version.version = lambda: f"{_duckdb.__version__} (with duckdb {_duckdb.__version__})"  # type: ignore[attr-defined]
    sys.modules["duckdb._version"] = version
    import duckdb  # noqa: F401
