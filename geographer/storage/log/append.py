"""Append one event with its rows to the log in one transaction, after the head that it was planned on."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from geographer.base.canonical_json import canonical_json, parse_canonical_json
from geographer.base.errors import ConflictError
from geographer.storage.database.connection import open_transaction, register_table, run_script
from geographer.storage.events import EMPTY_LOG_HEAD, KINDS, CommitInfo, Event, EventDraft, Head
from geographer.storage.log.digests import (
    EMPTY_ROWS_DIGEST,
    build_row_digest_sql,
    compute_event_digest,
    compute_rows_digests,
)
from geographer.storage.log.read import find_event_by_key, read_head
from geographer.storage.log.row_tables import ROW_TABLES

if TYPE_CHECKING:
    import duckdb

    from geographer.storage.database.connection import Database

_SCHEMA = Path(__file__).with_name("schema.sql")
_WRITE_ERROR = "cannot write the log; nothing was recorded: {}"


def create_log(database: Database) -> None:
    """Create the log's file with its empty tables."""
    with database.open_connection(log="w") as connection:
        run_script(connection, _SCHEMA.read_text())


def create_missing_tables(database: Database) -> None:
    """Create the tables that a log of an older version lacks; they are empty."""
    with database.open_connection(log="r") as connection:
        rows = connection.execute("SELECT table_name FROM duckdb_tables() WHERE database_name = 'log'").fetchall()
    if not {*ROW_TABLES, "event"} <= {row[0] for row in rows}:
        create_log(database)


def append_event(database: Database, draft: EventDraft, commit_info: CommitInfo, expected_head: Head) -> Event:
    """Append `draft` after `expected_head` and return the event, or the event that has the same idempotency key.

    Raises:
        ConflictError: the log's head is not `expected_head`, or the key was used for another request.
        StorageError: the disk is full; nothing was appended.
    """
    with database.open_connection(log="w") as connection, open_transaction(connection, _WRITE_ERROR):
        existing = find_event_by_key(connection, commit_info.idempotency_key)
        if existing is not None:
            return require_same_request(existing, draft.kind, draft.payload.get("request"))
        head = read_head(connection)
        if head != expected_head:
            raise ConflictError(
                f"the change was planned on @{expected_head.position}, but the head is now @{head.position}. "
                "Run the command again."
            )
        _insert_rows(connection, draft, head.position + 1)
        event = _make_event(connection, draft, commit_info, head)
        _insert_event(connection, event)
    return event


def require_same_request(event: Event, kind: str, request: object) -> Event:
    """Return `event` if it was recorded for an equal request.

    Raises:
        ConflictError: its idempotency key was used for another request.
    """
    if event.kind != kind or event.payload.get("request") != request:
        raise ConflictError(
            f"idempotency key '{event.idempotency_key}' was used for another request: @{event.position} {event.kind}. "
            "Use a new key."
        )
    return event


def _insert_rows(connection: duckdb.DuckDBPyConnection, draft: EventDraft, position: int) -> None:
    for table, rows in draft.rows.items():
        columns = ", ".join(f'"{column}"' for column in ROW_TABLES[table])
        is_relation = isinstance(rows, str)
        with nullcontext(rows) if is_relation else register_table(connection, "appended_rows", rows) as relation:
            connection.execute(
                f"INSERT INTO log.{table} (position, ordinal, change, {columns}, row_digest) "  # noqa: S608
                f"SELECT $position, row_number() OVER () - 1, change, {columns}, {build_row_digest_sql(table)} "
                f"FROM {relation}",
                {"position": position},
            )


def _make_event(connection: duckdb.DuckDBPyConnection, draft: EventDraft, commit_info: CommitInfo, head: Head) -> Event:
    position = head.position + 1
    row = connection.execute("SELECT uuidv7()::VARCHAR").fetchone()
    assert row is not None
    event = Event(
        position=position,
        event_id=row[0],
        kind=draft.kind,
        version=KINDS[draft.kind],
        recorded_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        author=commit_info.author,
        message=commit_info.message,
        command=commit_info.command,
        idempotency_key=commit_info.idempotency_key,
        payload=parse_canonical_json(canonical_json(draft.payload)),
        rows_digest=compute_rows_digests(connection, position).get(position, EMPTY_ROWS_DIGEST),
        parents=[] if head == EMPTY_LOG_HEAD else [head.digest],
        digest="",
    )
    return event._replace(digest=compute_event_digest(event.hashed_fields()))


def _insert_event(connection: duckdb.DuckDBPyConnection, event: Event) -> None:
    values = {**event.to_dict(), "payload": canonical_json(event.payload)}
    columns, placeholders = ", ".join(values), ", ".join(f"${name}" for name in values)
    connection.execute(f"INSERT INTO log.event ({columns}) VALUES ({placeholders})", values)  # noqa: S608
