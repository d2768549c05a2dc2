"""Update the state: derive its tables from the log, by the same SQL for one new event and for all events."""

from __future__ import annotations

import hashlib
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from geographer.storage.database.connection import open_transaction, run_script
from geographer.storage.log.append import create_missing_tables
from geographer.storage.log.read import read_head
from geographer.storage.log.row_tables import KEY_COLUMNS, ROW_TABLES

if TYPE_CHECKING:
    import duckdb

    from geographer.storage.database.connection import Database

_FOLDER = Path(__file__).parent
_SCHEMA = _FOLDER / "000_schema.sql"
MACROS = _FOLDER / "macros.sql"
_WRITE_ERROR = (
    "the event is recorded, but the state cannot be written ({}). Free some space; the next command updates it."
)
_STEPS = sorted(path for path in _FOLDER.glob("[0-9]*.sql") if path != _SCHEMA)
_CHANGE_TABLES = [table for table in ROW_TABLES if table.endswith("_change")]
_COPIED_TABLES = ("class", "label", "label_object", "split")
"""The tables whose versions are rows of the log. Separate steps derive the other tables."""


def read_state_position(database: Database) -> int:
    """Return the position that the state is at; 0 if there is none, or if other SQL derived it."""
    if not database.file_path("state").exists():
        return 0
    with database.open_connection(state="r") as connection:
        return _read_position(connection)


def update_state(database: Database) -> int:
    """Update the state to the log's head and return its position. The cost depends on the new events only."""
    with database.open_connection(log="r") as connection:
        head = read_head(connection).position
    current = read_state_position(database)
    if current >= head:
        return head
    if current == 0:
        _delete_state(database)
        create_missing_tables(database)
    with database.open_connection(log="r", state="w", spatial=True) as connection:
        run_script(connection, _SCHEMA.read_text())
        run_script(connection, MACROS.read_text())
        after, head = _read_position(connection), read_head(connection).position
        positions = {"after": after, "up_to": head}
        with open_transaction(connection, _WRITE_ERROR):
            tables = _list_changed_tables(connection, after)
            for table in tables:
                _update_versions(connection, table, positions)
            changed = {name for table in tables for name in (f"log.{table}_change", f"state.{table}")}
            for step in _STEPS:
                if _read_needs(step) & {"log.event", *changed}:
                    run_script(connection, step.read_text(), positions)
            connection.execute("DELETE FROM state.meta")
            connection.execute("INSERT INTO state.meta VALUES ($1, $2)", [head, _compute_sql_digest()])
    return head


def rebuild_state(database: Database) -> int:
    """Delete the state and derive it from the whole log."""
    _delete_state(database)
    return update_state(database)


def _delete_state(database: Database) -> None:
    with database.open_connection():
        for path in (database.file_path("state"), database.file_path("state").with_suffix(".duckdb.wal")):
            path.unlink(missing_ok=True)


def _read_position(connection: duckdb.DuckDBPyConnection) -> int:
    columns = connection.execute("SELECT column_name FROM duckdb_columns() WHERE table_name = 'meta'").fetchall()
    if ("sql_digest",) not in columns:
        return 0
    query = "SELECT coalesce(max(position), 0) FROM state.meta WHERE sql_digest = $1"
    row = connection.execute(query, [_compute_sql_digest()]).fetchone()
    return int(row[0]) if row else 0


def _list_changed_tables(connection: duckdb.DuckDBPyConnection, after: int) -> list[str]:
    """List the tables of the state whose objects the log changes after a position."""
    query = ", ".join(f"EXISTS (FROM log.{table} WHERE position > $after)" for table in _CHANGE_TABLES)
    row = connection.execute(f"SELECT {query}", {"after": after}).fetchone() or ()
    return [table.removesuffix("_change") for table, has_rows in zip(_CHANGE_TABLES, row, strict=True) if has_rows]


def _update_versions(connection: duckdb.DuckDBPyConnection, table: str, positions: dict[str, int]) -> None:
    """End the versions of a table's changed objects, and add the new ones if no separate step derives the table."""
    keys, columns = KEY_COLUMNS[f"{table}_change"], ROW_TABLES[f"{table}_change"]
    same_object = " AND ".join(f"state.{table}.{key} = change.{key}" for key in keys)
    names = {"table": table, "keys": ", ".join(keys), "columns": ", ".join(columns), "same_object": same_object}
    for template in ("end_versions.sql", "add_versions.sql") if table in _COPIED_TABLES else ("end_versions.sql",):
        run_script(connection, (_FOLDER / template).read_text().format(**names), positions)


@cache
def _read_needs(step: Path) -> frozenset[str]:
    """Return the tables that a step reads, from the header of its SQL."""
    needs = step.read_text().partition("needs: ")[2].partition(" · makes:")[0]
    return frozenset(re.findall(r"\b(?:log|state)\.\w+", needs))


@cache
def _compute_sql_digest() -> str:
    """Return the digest of the SQL that derives the state: a state that other SQL derived is rebuilt."""
    digest = hashlib.sha256()
    for path in sorted(_FOLDER.glob("*.sql")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
