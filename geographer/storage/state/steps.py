"""Steps: the SQL files that derive the state, in their order, and when each of them is due."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import duckdb

_FOLDER: Final = Path(__file__).parent
SCHEMA: Final = _FOLDER / "000_schema.sql"
STEPS: Final = sorted(path for path in _FOLDER.glob("[0-9]*.sql") if path != SCHEMA)
EDGE_STEP: Final = _FOLDER / "030_edge_relation.sql"
"""The step that joins features and rasters. It can run on the features of a part."""
_VISIBLE_STEP: Final = _FOLDER / "029_fully_visible.sql"


def is_due(connection: duckdb.DuckDBPyConnection, step: Path) -> bool:
    """Return whether the query in the header of a step (`only if: FROM ...`), if it has one, has a row."""
    condition = re.search(r"^-- only if: (.+)$", step.read_text(), re.MULTILINE)
    return condition is None or connection.execute(f"{condition[1]} LIMIT 1").fetchone() is not None


def list_edge_steps() -> list[Path]:
    """Return the steps that derive the edges from the tables of features and rasters."""
    return [_VISIBLE_STEP, EDGE_STEP]


def read_schema() -> str:
    """Return the SQL that creates the tables of the state."""
    return SCHEMA.read_text()


def read_macros() -> str:
    """Return the SQL that creates the geometry functions of the state."""
    return (_FOLDER / "macros.sql").read_text()
