"""Bring the projection up to the log's head, or up to a position: the same SQL for one event and for all of them."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from geographer.storage.database.connection import open_transaction, run_script
from geographer.storage.log.append import create_missing_tables
from geographer.storage.log.read import read_head

if TYPE_CHECKING:
    import duckdb

    from geographer.storage.database.connection import Database

_FOLDER = Path(__file__).parent
_SCHEMA = _FOLDER / "000_schema.sql"
MACROS = _FOLDER / "macros.sql"
_UNWRITTEN = "the event is recorded, but not projected ({}): free some space; the next command goes on from here"
_STEPS = sorted(path for path in _FOLDER.glob("[0-9]*.sql") if path != _SCHEMA)


def read_state_position(engine: Database) -> int:
    """How far the projection has come; 0 when it is not there, or was made by other SQL than this version's."""
    if not engine.file_path("state").exists():
        return 0
    with engine.open_connection(state="r") as connection:
        return _position(connection)


def update_state(engine: Database) -> int:
    """Bring the projection up to the log's head, and return that position. Costs what changed, not what is there."""
    with engine.open_connection(log="r") as connection:
        head = read_head(connection).position
    known = read_state_position(engine)
    if known >= head:
        return head
    if known == 0:
        _forget(engine)
        create_missing_tables(engine)
    with engine.open_connection(log="r", state="w", spatial=True) as connection:
        run_script(connection, _SCHEMA.read_text())
        run_script(connection, MACROS.read_text())
        after, head = _position(connection), read_head(connection).position
        with open_transaction(connection, _UNWRITTEN):
            for step in _STEPS:
                run_script(connection, step.read_text(), {"after": after, "up_to": head})
            connection.execute("DELETE FROM state.meta")
            connection.execute("INSERT INTO state.meta VALUES ($head, $sql)", {"head": head, "sql": _digest_of_sql()})
    return head


def rebuild_state(engine: Database) -> int:
    """Delete the projection and derive it anew from the log."""
    _forget(engine)
    return update_state(engine)


def _forget(engine: Database) -> None:
    with engine.open_connection():
        for path in (engine.file_path("state"), engine.file_path("state").with_suffix(".duckdb.wal")):
            path.unlink(missing_ok=True)


def _position(connection: duckdb.DuckDBPyConnection) -> int:
    known = connection.execute(
        "SELECT 1 FROM duckdb_columns() WHERE (database_name, table_name, column_name) = ('state', 'meta', 'made_by')"
    ).fetchone()
    made = "SELECT max(position) FROM state.meta WHERE made_by = $sql"
    row = connection.execute(made, {"sql": _digest_of_sql()}).fetchone() if known else None
    return int(row[0]) if row and row[0] is not None else 0


@cache
def _digest_of_sql() -> str:
    """What tells this version's projection from that of another: the digest of all that derives it."""
    digest = hashlib.sha256()
    for path in (_SCHEMA, MACROS, *_STEPS):
        digest.update(path.read_bytes())
    return digest.hexdigest()
