"""Update the state: derive its tables from the log, by the same SQL for one new event and for all events."""

from __future__ import annotations

import hashlib
import re
from functools import cache
from itertools import compress
from pathlib import Path

import duckdb

from geographer.storage.database.connection import Database, open_transaction, run_script
from geographer.storage.events import Head
from geographer.storage.events.payload import list_state_sql
from geographer.storage.events.row_tables import CORE_TABLES, KEY_COLUMNS, ROW_TABLES
from geographer.storage.log.chain import CHAIN_EVENT, create_chain_views
from geographer.storage.log.read import read_events_between, read_head
from geographer.storage.state.digest import compute_state_digest
from geographer.storage.state.facts import stage_facts

_FOLDER = Path(__file__).parent
_SCHEMA = _FOLDER / "000_schema.sql"
MACROS = _FOLDER / "macros.sql"
_WRITE_ERROR = (
    "the event is recorded, but the state cannot be written ({}). Free some space; the next command updates it."
)
_STEPS = sorted(path for path in _FOLDER.glob("[0-9]*.sql") if path != _SCHEMA)
_CHANGE_TABLES = [table for table in CORE_TABLES if table.endswith("_change")]
_COPIED_TABLES = ("class", "label", "label_object", "split")
"""The tables whose versions are rows of the log. Separate steps derive the other tables."""


def read_state_position(database: Database) -> int:
    """Return the position that the state is at; 0 if there is none, or if other SQL or another log led to it.

    A state that is ahead of its log is kept: it shows that the log lost its last events.
    """
    if not database.file_path("state").exists():
        return 0
    with database.open_connection(log="r", state="r") as connection:
        return _read_position(connection)


def update_state(database: Database) -> int:
    """Update the state to the log's head, at the cost of the new events, and return its position."""
    with database.open_connection(log="r") as connection:
        head = read_head(connection).position
    current = read_state_position(database)
    if current >= head:
        return head
    if current == 0:
        _delete_state(database)
    with database.open_connection(log="r", state="w", spatial=True) as connection:
        run_script(connection, _SCHEMA.read_text())
        run_script(connection, MACROS.read_text())
        create_chain_views(connection)
        after, new_head = _read_position(connection), read_head(connection)
        with open_transaction(connection, _WRITE_ERROR):
            _update_tables(connection, after, new_head.position)
            _save_position(connection, after, new_head)
    return new_head.position


def rebuild_state(database: Database) -> int:
    """Delete the state and derive it from the whole log."""
    _delete_state(database)
    return update_state(database)


def is_state_unaltered(database: Database) -> bool:
    """Return whether the rows of the state are those that its updates wrote."""
    with database.open_connection(state="r", spatial=True) as connection:
        row = connection.execute("SELECT state_digest FROM state.meta").fetchone()
        return row is not None and row[0] == compute_state_digest(connection)


def _delete_state(database: Database) -> None:
    with database.open_connection():
        for path in (database.file_path("state"), database.file_path("state").with_suffix(".duckdb.wal")):
            path.unlink(missing_ok=True)


def _read_position(connection: duckdb.DuckDBPyConnection) -> int:
    query = (
        f"SELECT meta.position, head_digest, event.digest FROM state.meta LEFT JOIN {CHAIN_EVENT} AS event "  # noqa: S608
        "USING (position) WHERE sql_digest = $1"
    )
    try:
        row = connection.execute(query, [_compute_sql_digest()]).fetchone()
    except (duckdb.BinderException, duckdb.CatalogException):
        # An older version wrote a table with other columns.
        return 0
    position, expected, actual = row or (0, None, None)
    is_ahead = actual is None and position > 0
    known = "FROM state.event WHERE digest = $1"
    if actual != expected and not (is_ahead and connection.execute(known, [read_head(connection).digest]).fetchone()):
        return 0
    return int(position)


def _update_tables(connection: duckdb.DuckDBPyConnection, after: int, up_to: int) -> None:
    positions = {"after": after, "up_to": up_to}
    changed = stage_facts(connection, read_events_between(connection, after, up_to))
    query = ", ".join(f"EXISTS (FROM chain_{table} WHERE position > $after)" for table in _CHANGE_TABLES)
    has_rows = connection.execute(f"SELECT {query}", {"after": after}).fetchall()[0]
    for table in (table.removesuffix("_change") for table in compress(_CHANGE_TABLES, has_rows)):
        _update_versions(connection, table, positions)
        changed |= {f"chain_{table}_change", f"state.{table}"}
    changed |= {f"chain_{table}" for table in ROW_TABLES.keys() - set(CORE_TABLES)}
    for step in (*_STEPS, *list_state_sql()):
        if _read_needs(step) & changed:
            run_script(connection, step.read_text(), positions)


def _save_position(connection: duckdb.DuckDBPyConnection, after: int, head: Head) -> None:
    rows = connection.execute("SELECT state_digest FROM state.meta").fetchall() if after else []
    digest = compute_state_digest(connection, after, head.position) + sum(row[0] for row in rows)
    connection.execute("DELETE FROM state.meta")
    values = [head.position, head.digest, _compute_sql_digest(), str(digest)]
    connection.execute("INSERT INTO state.meta VALUES ($1, $2, $3, $4::HUGEINT)", values)


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
    return frozenset(re.findall(r"[\w.]+", needs))


def _compute_sql_digest() -> str:
    """Return the digest of what derives the state: a state that other SQL or another DuckDB derived is rebuilt."""
    return _hash_files(*sorted(_FOLDER.glob("*.*")), *list_state_sql())


@cache
def _hash_files(*paths: Path) -> str:
    digest = hashlib.sha256(duckdb.__version__.encode())
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()
