"""Update the state: derive its tables from the log, by the same SQL for one new event and for all events."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path

import duckdb

from geographer.base.canonical_json import canonical_json
from geographer.base.errors import DamagedFileError, StorageError, UsageError
from geographer.storage.database.connection import Database, escape_literal, open_cursor, open_transaction, run_script
from geographer.storage.database.duckdb_errors import is_disk_error
from geographer.storage.events import Event, Head
from geographer.storage.events.payload import find_payload_class, list_state_sql
from geographer.storage.events.row_tables import CORE_TABLES, KEY_COLUMNS, ROW_TABLES
from geographer.storage.log.chain import (
    CHAIN_EVENT,
    build_chain_sql,
    create_empty_views,
    keep_chain_views,
    list_row_tables,
)
from geographer.storage.log.pending import SCHEMA as PENDING
from geographer.storage.log.pending import PendingEvent
from geographer.storage.log.read import read_events_between, read_head
from geographer.storage.state.digest import compute_state_digest
from geographer.storage.state.edge_parts.derive_in_parts import derive_edges_in_parts
from geographer.storage.state.facts import stage_facts
from geographer.storage.state.file_stamp import is_known_state_file, read_statuses, remember_state_file
from geographer.storage.state.rewind import is_of_other_chain, rewind_state
from geographer.storage.state.steps import EDGE_STEP, STEPS, is_due, read_schema
from geographer.storage.state.underivable import (
    NO_ROWS,
    UnderivableError,
    find_invalid_geometries,
    find_underivable_rows,
)
from geographer.storage.state.unreadable import (
    end_unnamed_rows,
    find_unreadable_rows,
    read_needs,
    reject_unreadable_rows,
)

logger = logging.getLogger(__name__)

_FOLDER = Path(__file__).parent
MACROS = _FOLDER / "macros.sql"
PATH_FAULT_SQL = _FOLDER / "path_fault.sql"
_WRITE_ERROR = (
    "the event is recorded, but the state cannot be written ({}). Free some space; the next command updates it."
)
_ROW_ERRORS = (duckdb.DataError, duckdb.ProgrammingError, duckdb.NotSupportedError)
"""Errors of SQL that the rows which it reads cause."""
_CHANGE_TABLES = [table for table in CORE_TABLES if table.endswith("_change")]
_MAX_EVENTS = 20_000
"""So many events at most are derived in one transaction: its memory grows with what it writes."""
_POSITIONS: dict[Path, tuple[str, int]] = {}
"""What `read_state_position` found for a state's file with these statuses of log and state: it takes 3 ms."""
_COPIED_TABLES = ("class", "label", "label_object", "split")
"""The tables whose versions are rows of the log. Separate steps derive the other tables."""


def read_state_position(database: Database) -> int:
    """Return the position that the state is at; 0 if there is none, or if other SQL, another log or an edit led to it.

    A state that is ahead of its log is kept: it shows that the log lost its last events.
    """
    path = database.file_path("state")
    if not path.exists():
        return 0
    is_known = is_known_state_file(path)
    statuses = f"{database.branch} {read_statuses(database.file_path('log'), path)}" if is_known else None
    if statuses is not None and _POSITIONS.get(path, ("", 0))[0] == statuses:
        return _POSITIONS[path][1]
    try:
        with database.open_connection(log="r", state="r", spatial=not is_known) as connection:
            position = _read_position(connection)
            if position and not is_known and not _has_recorded_digest(connection):
                logger.warning("'%s' was altered. It is derived from the log again.", path.name)
                return 0
    except (DamagedFileError, duckdb.Error) as error:
        if isinstance(error, DamagedFileError) and error.path != path:
            raise
        logger.warning("'%s' is damaged. It is derived from the log again.", path.name)
        return 0
    if position and not is_known:
        remember_state_file(path)
    if position and statuses is not None:
        _POSITIONS[path] = (statuses, position)
    return position


def update_state(database: Database) -> int:
    """Update the state to the log's head, at the cost of the new events, and return its position."""
    with database.open_connection(log="r") as connection:
        head = read_head(connection)
    current = read_state_position(database)
    while current < head.position:
        up_to = min(current + _MAX_EVENTS, head.position)
        try:
            with _derive_state(database, current, up_to=up_to):
                pass
        except UnderivableError:
            up_to = head.position
            with (
                find_underivable_rows(database, current, _derive_state) as rows,
                _derive_state(database, current, left_out=rows),
            ):
                pass
        current = up_to
    return head.position


@contextmanager
def derive_pending_state(
    database: Database,
    pending: PendingEvent,
    *,
    check: Callable[[duckdb.DuckDBPyConnection, int], None] | None = None,
) -> Iterator[None]:
    """Derive the state up to an event that is not appended yet; commit it when the block ends without an error.

    `check` is called with a connection whose state and views of the chain have the event, and with its position.

    Raises:
        UsageError: the state cannot be derived from the event's rows, or they cannot be read; names the objects.
    """
    current = read_state_position(database)
    after = current if current < pending.event.position else 0
    with _derive_state(database, after, pending=pending) as connection:
        if check is not None:
            create_empty_views(connection)
            _create_chain_views(connection, pending)
            keep_chain_views(connection, chain_event=_build_event_sql(pending.event))
            check(connection, pending.event.position)
        yield


@contextmanager
def _derive_state(
    database: Database,
    after: int,
    *,
    up_to: int | None = None,
    pending: PendingEvent | None = None,
    left_out: str = NO_ROWS,
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Derive the state of the events after a position, all or up to one; its transaction is open while the block runs.

    `left_out` is a query for rows of `state.unreadable_row` that are known before.
    """
    if after == 0 and not _rewind_state(database):
        database.delete_state()
    with (
        database.open_connection(log="r", state="w", spatial=True) as shared_connection,
        # The log has a transaction of its own: one transaction can write to one file.
        closing(open_cursor(shared_connection)) as connection,
    ):
        connection.execute("SET TimeZone = 'UTC'")
        run_script(connection, read_schema())
        for macros in (MACROS, PATH_FAULT_SQL):
            run_script(connection, macros.read_text())
        # Another process may have updated the state meanwhile.
        after = _read_position(connection)
        old_events = read_events_between(connection, after, up_to)
        events = old_events + ([pending.event] if pending else [])
        invalid = find_invalid_geometries(connection, after, old_events[-1].position) if old_events else []
        with open_transaction(connection, _WRITE_ERROR):
            if events:
                with _translate_derivation_errors(pending):
                    connection.execute(f"INSERT INTO state.unreadable_row {left_out}")
                    if invalid:
                        values = f"VALUES ({', '.join('?' * len(invalid[0]))})"
                        connection.executemany(f"INSERT INTO state.unreadable_row {values}", invalid)
                    _update_tables(connection, database, after, events, pending)
                _save_position(connection, after, Head(events[-1].position, events[-1].digest))
            yield connection
    remember_state_file(database.file_path("state"))


def _rewind_state(database: Database) -> bool:
    """Bring a state of another chain back to what it shares with the branch in use; return whether it was one."""
    path = database.file_path("state")
    if not path.exists():
        return False
    try:
        with database.open_connection(log="r", state="w", spatial=True) as connection:
            if not is_of_other_chain(connection, compute_sql_digest(connection)):
                return False
            if not is_known_state_file(path) and not _has_recorded_digest(connection):
                return False
            with closing(open_cursor(connection)) as cursor, open_transaction(cursor, _WRITE_ERROR):
                rewind_state(cursor)
    except (DamagedFileError, duckdb.BinderException, duckdb.CatalogException):
        return False
    remember_state_file(path)
    return True


def rebuild_state(database: Database) -> int:
    """Delete the state and derive it from the whole log."""
    database.delete_state()
    return update_state(database)


def is_state_unaltered(database: Database) -> bool:
    """Return whether the rows of the state are those that its updates wrote."""
    with database.open_connection(state="r", spatial=True) as connection:
        return _has_recorded_digest(connection)


def is_attached_state_unaltered(connection: duckdb.DuckDBPyConnection) -> bool:
    """Return whether the rows of the attached state are those that its updates wrote.

    All rows are read, unless nothing else wrote to the file since.
    """
    ((path,),) = connection.execute("SELECT path FROM duckdb_databases() WHERE database_name = 'state'").fetchall()
    return is_known_state_file(Path(path)) or _has_recorded_digest(connection)


def _has_recorded_digest(connection: duckdb.DuckDBPyConnection) -> bool:
    rows = connection.execute("SELECT state_digest FROM state.meta").fetchall()
    return len(rows) == 1 and rows[0][0] == compute_state_digest(connection)


def _read_position(connection: duckdb.DuckDBPyConnection) -> int:
    query = "SELECT position, head_digest FROM state.meta WHERE sql_digest = $1 AND position IS NOT NULL"
    try:
        row = connection.execute(query, [compute_sql_digest(connection)]).fetchone()
    except (duckdb.BinderException, duckdb.CatalogException):
        # An older version wrote a table with other columns.
        return 0
    position, expected = row or (0, None)
    # A position that is part of the query lets DuckDB skip the other events, which joining both tables would not.
    event = f"SELECT digest FROM {CHAIN_EVENT} WHERE position = {int(position)}"  # noqa: S608
    (actual,) = connection.execute(event).fetchone() or (None,)
    is_ahead = actual is None and position > 0
    # A state of a log that lost its last events is ahead of it; that of another branch is at an event of the log.
    known = "SELECT 1 FROM state.event WHERE digest = $1 AND NOT EXISTS (FROM log.event WHERE digest = $2)"
    if actual != expected and not (
        is_ahead and connection.execute(known, [read_head(connection).digest, expected]).fetchone()
    ):
        return 0
    return int(position)


def _update_tables(
    connection: duckdb.DuckDBPyConnection,
    database: Database,
    after: int,
    events: list[Event],
    pending: PendingEvent | None,
) -> None:
    positions = {"after": after, "up_to": events[-1].position}
    changed = stage_facts(connection, events)
    known = connection.execute("FROM state.unreadable_row WHERE position > $after LIMIT 1", {"after": after}).fetchone()
    _create_chain_views(connection, pending, without_unreadable=known is not None)
    all_tables = list_row_tables(connection)
    # DuckDB plans this in a tenth of the time that it needs for EXISTS.
    found = [f"(SELECT '{table}' FROM chain_{table} WHERE position > $after LIMIT 1)" for table in all_tables]  # noqa: S608
    named = {name for (name,) in connection.execute(" UNION ALL ".join(found), {"after": after}).fetchall()}
    tables = [table for table in all_tables if table in named]
    if find_unreadable_rows(connection, tables, positions):
        if pending:
            reject_unreadable_rows(connection, pending.event.position)
        _create_chain_views(connection, pending, without_unreadable=True)
    payload_classes = ((event.position, find_payload_class(event.kind, event.version)) for event in events)
    end_unnamed_rows(
        connection, [position for position, payload_class in payload_classes if payload_class.ends_unnamed_rows]
    )
    changed |= {f"chain_{table}" for table in (*tables, *(table for table in all_tables if table not in CORE_TABLES))}
    for table in (table.removesuffix("_change") for table in tables if table in _CHANGE_TABLES):
        _update_versions(connection, table, positions)
        changed.add(f"state.{table}")
    for step in (*STEPS, *list_state_sql(all_tables)):
        if not (read_needs(step) & changed and is_due(connection, step)):
            continue
        if step != EDGE_STEP or not derive_edges_in_parts(connection, database, positions):
            run_script(connection, step.read_text(), positions)


def _create_chain_views(
    connection: duckdb.DuckDBPyConnection, pending: PendingEvent | None, *, without_unreadable: bool = False
) -> None:
    """Create the views of the chain, as `create_chain_views` does, with the pending rows."""
    for table in list_row_tables(connection):
        rows = build_chain_sql(table)
        if pending and table in pending.tables:
            rows += f" UNION ALL BY NAME SELECT {pending.event.position} AS position, * FROM {PENDING}.{table}"  # noqa: S608
        if without_unreadable:
            rows = (
                f"FROM ({rows}) ANTI JOIN (SELECT position, ordinal FROM state.unreadable_row "  # noqa: S608
                f"WHERE table_name = '{table}') USING (position, ordinal)"
            )
        connection.execute(f"CREATE OR REPLACE TEMP VIEW chain_{table} AS {rows}")


def _build_event_sql(event: Event) -> str:
    """Return the query for the events of the chain with one that is not appended yet."""
    values = {**event._asdict(), "payload": canonical_json(event.payload)}
    columns = ", ".join(f"{_quote_value(value)} AS {name}" for name, value in values.items())
    return f"SELECT * FROM {CHAIN_EVENT} UNION ALL BY NAME SELECT {columns}"  # noqa: S608


def _quote_value(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_quote_value, value))}]::VARCHAR[]"
    return "NULL" if value is None else str(value) if isinstance(value, int) else f"'{escape_literal(str(value))}'"


@contextmanager
def _translate_derivation_errors(pending: PendingEvent | None) -> Iterator[None]:
    """Raise an error in the derivation as one that says whether the log or the pending event is its cause."""
    try:
        yield
    except duckdb.Error as error:
        if is_disk_error(error) and pending:
            message = f"cannot write the state, so nothing was recorded ({error}). Free some space and run again."
            raise StorageError(message) from error
        if is_disk_error(error) or not isinstance(error, _ROW_ERRORS):
            raise
        reason = str(error).partition("\n")[0]
        if pending:
            raise UsageError(f"cannot record the change, because its rows cannot be used: {reason}.") from error
        raise UnderivableError(f"cannot derive the state from the log: {reason}. Run geographer verify.") from error


def _save_position(connection: duckdb.DuckDBPyConnection, after: int, head: Head) -> None:
    rows = connection.execute("SELECT state_digest FROM state.meta").fetchall() if after else []
    digest = compute_state_digest(connection, after, head.position) + sum(row[0] for row in rows)
    connection.execute("DELETE FROM state.meta")
    values = [head.position, head.digest, compute_sql_digest(connection), str(digest)]
    connection.execute("INSERT INTO state.meta VALUES ($1, $2, $3, $4::HUGEINT)", values)


def _update_versions(connection: duckdb.DuckDBPyConnection, table: str, positions: dict[str, int]) -> None:
    """End the versions of a table's changed objects, and add the new ones if no separate step derives the table."""
    keys, columns = KEY_COLUMNS[f"{table}_change"], ROW_TABLES[f"{table}_change"]
    same_object = " AND ".join(f"state.{table}.{key} = change.{key}" for key in keys)
    names = {"table": table, "keys": ", ".join(keys), "columns": ", ".join(columns), "same_object": same_object}
    for template in ("end_versions.sql", "add_versions.sql") if table in _COPIED_TABLES else ("end_versions.sql",):
        run_script(connection, (_FOLDER / template).read_text().format(**names), positions)


def compute_sql_digest(connection: duckdb.DuckDBPyConnection) -> str:
    """Return the digest of what derives the state: a state that other SQL or another DuckDB derived is rebuilt."""
    kinds = list_state_sql(list_row_tables(connection))
    return _hash_files(*_list_own_files(), *kinds)


@cache
def _list_own_files() -> tuple[Path, ...]:
    return (*sorted(_FOLDER.rglob("*.sql")), *sorted(_FOLDER.glob("*.py")))


@cache
def _hash_files(*paths: Path) -> str:
    digest = hashlib.sha256(duckdb.__version__.encode())
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()
