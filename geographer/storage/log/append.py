"""Append: one event with its rows, in one transaction, chained to the head that it was planned on."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from geographer.base.canonical_json import canonical_json, parse_canonical_json
from geographer.base.errors import ConflictError
from geographer.storage.database.connection import open_transaction, run_script
from geographer.storage.events import EMPTY_LOG_HEAD, KINDS, CommitInfo, Event, EventDraft, Head
from geographer.storage.log.digests import EMPTY, event_digest, row_digest_sql, rows_digests
from geographer.storage.log.read import find_event_by_key, read_head
from geographer.storage.log.row_tables import TABLES

if TYPE_CHECKING:
    from collections.abc import Iterator

    import duckdb
    import pyarrow as pa

    from geographer.storage.database.connection import Database

_SCHEMA = Path(__file__).with_name("schema.sql")
_UNWRITTEN = "the log could not be written, nothing was recorded: {}"


def create_log(engine: Database) -> None:
    """Make the log's file with its empty tables."""
    with engine.open_connection(log="w") as connection:
        run_script(connection, _SCHEMA.read_text())


def create_missing_tables(engine: Database) -> None:
    """Add the tables that a log of an earlier version has not: they are empty."""
    with engine.open_connection(log="r") as connection:
        rows = connection.execute("SELECT table_name FROM duckdb_tables() WHERE database_name = 'log'").fetchall()
    if not {*TABLES, "event"} <= {row[0] for row in rows}:
        create_log(engine)


def append_event(engine: Database, draft: EventDraft, signature: CommitInfo, expected: Head) -> Event:
    """Append `draft` after `expected` and return the event; or, its idempotency key being known, the event of that key.

    Raises:
        ConflictError: the log has moved past `expected`: plan again; or the key belongs to another request.
        StorageError: the disk is full; nothing was appended.
    """
    with engine.open_connection(log="w") as connection, open_transaction(connection, _UNWRITTEN):
        known = find_event_by_key(connection, signature.idempotency_key)
        if known is not None:
            return require_same_request(known, draft.kind, draft.payload.get("request"))
        head = read_head(connection)
        if head != expected:
            raise ConflictError(
                f"the log has moved to @{head.position} since this was planned on @{expected.position}: run it again"
            )
        _insert_rows(connection, draft, head.position + 1)
        event = _event(connection, draft, signature, head)
        _insert_event(connection, event)
    return event


def require_same_request(known: Event, kind: str, request: object) -> Event:
    """`known`, if it was recorded for this very request.

    Raises:
        ConflictError: its idempotency key was used for something else.
    """
    if known.kind != kind or known.payload.get("request") != request:
        raise ConflictError(
            f"idempotency key '{known.idempotency_key}' belongs to @{known.position} ({known.kind}), which was asked "
            "with other parameters: use a new key"
        )
    return known


def _insert_rows(connection: duckdb.DuckDBPyConnection, draft: EventDraft, position: int) -> None:
    for table, rows in draft.rows.items():
        columns = ", ".join(f'"{column}"' for column in TABLES[table])
        with _relation(connection, rows) as relation:
            connection.execute(
                f"INSERT INTO log.{table} (position, ordinal, change, {columns}, row_digest) "  # noqa: S608
                f"SELECT $position, row_number() OVER () - 1, change, {columns}, {row_digest_sql(table)} "
                f"FROM {relation}",
                {"position": position},
            )


@contextmanager
def _relation(connection: duckdb.DuckDBPyConnection, rows: pa.Table | str) -> Iterator[str]:
    if isinstance(rows, str):
        yield rows
        return
    connection.register("appended_rows", rows)
    try:
        yield "appended_rows"
    finally:
        connection.unregister("appended_rows")


def _event(connection: duckdb.DuckDBPyConnection, draft: EventDraft, signature: CommitInfo, head: Head) -> Event:
    position = head.position + 1
    row = connection.execute("SELECT uuidv7()::VARCHAR").fetchone()
    assert row is not None
    event = Event(
        position=position,
        event_id=row[0],
        kind=draft.kind,
        version=KINDS[draft.kind],
        recorded_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        author=signature.author,
        message=signature.message,
        command=signature.command,
        idempotency_key=signature.idempotency_key,
        payload=parse_canonical_json(canonical_json(draft.payload)),
        rows_digest=rows_digests(connection, position).get(position, EMPTY),
        parents=[] if head == EMPTY_LOG_HEAD else [head.digest],
        digest="",
    )
    return Event(**{**event.to_dict(), "digest": event_digest(event.hashed_fields())})


def _insert_event(connection: duckdb.DuckDBPyConnection, event: Event) -> None:
    values = {**event.to_dict(), "payload": canonical_json(event.payload)}
    names = ", ".join(values)
    bound = ", ".join(f"${name}" for name in values)
    connection.execute(f"INSERT INTO log.event ({names}) VALUES ({bound})", values)  # noqa: S608
