"""Append one event with its rows to the log in one transaction, after the head that it was planned on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import duckdb

from geographer import __version__
from geographer.base.canonical_json import canonical_json, parse_canonical_json
from geographer.base.errors import ConflictError
from geographer.storage.database.connection import Database, open_transaction, run_script
from geographer.storage.events import EMPTY_LOG_HEAD, CommitInfo, Event, EventPayload, Head
from geographer.storage.events.envelope import EVENT_FORMAT
from geographer.storage.events.row_tables import CORE_TABLES, build_table_sql
from geographer.storage.log.branches import Location, delete_chain, find_chain_head, replace_chain
from geographer.storage.log.chain import BRANCH, forget_chain_views, list_row_tables
from geographer.storage.log.digests import compute_event_digest, compute_pending_digest
from geographer.storage.log.pending import SCHEMA, PendingEvent, stage_rows
from geographer.storage.log.read import find_event_by_key, read_head, require_supported_log

if TYPE_CHECKING:
    from geographer.storage.events.plain_rows import PlannedRows

_SCHEMA = Path(__file__).with_name("schema.sql")
_WRITE_ERROR: Final = "cannot write the log; nothing was recorded: {}"

StateDeriver = Callable[[PendingEvent], AbstractContextManager[Any]]
"""Derives the state from an event that is not appended yet, and commits it when the block ends without an error."""


class Place(NamedTuple):
    """Where an event comes in the history: its position in the chain, and the digests of its parents."""

    position: int
    parents: list[str]


def create_log(database: Database) -> None:
    """Create the log's file with its empty tables."""
    with database.open_connection(log="w") as connection, open_transaction(connection, _WRITE_ERROR):
        create_tables(connection)


def create_tables(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the log's empty tables, and record their format."""
    run_script(connection, _SCHEMA.read_text())
    for table in CORE_TABLES:
        connection.execute(build_table_sql(table))
    connection.execute("INSERT INTO log.meta VALUES ($1, $2)", [EVENT_FORMAT, __version__])


def create_row_tables(connection: duckdb.DuckDBPyConnection, tables: Iterable[str]) -> None:
    """Create row tables that only one kind of events has, before the kind is first recorded."""
    if missing := {*tables}.difference(list_row_tables(connection)):
        for table in sorted(missing):
            connection.execute(build_table_sql(table))
        forget_chain_views(connection)


def append_event(
    database: Database,
    payload: EventPayload,
    rows: Mapping[str, PlannedRows],
    commit_info: CommitInfo,
    expected_head: Head,
    *,
    derive_state: StateDeriver = nullcontext,
    second_parent: str | None = None,
    replaced_branch: str | None = None,
) -> Event:
    """Append an event after `expected_head` and return it, or the event that has the same idempotency key.

    `rows` are by log table: an Arrow table, or the name of a relation in the connection. `derive_state` derives the
    state from the pending event in an open transaction, which it commits after that of the log. `second_parent` is the
    digest of what a merge event merges; with `replaced_branch`, that branch gets the chain in use with the new event,
    and the chain in use is deleted.

    Raises:
        ConflictError: a head is not the one that the change was planned on, or the key was used for another request.
        UsageError: the state cannot be derived from the rows. Nothing was appended.
        StorageError, UnsupportedVersionError: the disk is full; a newer version wrote the log. Nothing was appended.
    """
    with database.open_connection(log="w") as connection:
        require_supported_log(connection)
        existing = find_event_by_key(connection, commit_info.idempotency_key)
        if existing is not None:
            if not _is_of_same_request(existing, payload):
                raise make_key_error(existing)
            return existing
        create_row_tables(connection, rows.keys() | {name for name, *_ in payload.row_tables})
        head = read_head(connection)
        if head != expected_head:
            planned, now = expected_head.position, head.position
            raise ConflictError(
                f"the change was planned on @{planned}, but the head is now @{now}. Run the command again."
            )
        if replaced_branch is not None and second_parent is not None:
            find_chain_head(connection, replaced_branch, second_parent)
        with stage_rows(connection, rows) as tables:
            parents = [] if head == EMPTY_LOG_HEAD else [head.digest]
            parents += [second_parent] if second_parent else []
            event = _make_event(connection, payload, commit_info, Place(head.position + 1, parents), tables)
            pending = PendingEvent(event, tables)
            with derive_state(pending), open_transaction(connection, _WRITE_ERROR):
                _insert_event(connection, pending)
                if replaced_branch is not None:
                    replace_chain(connection, replaced_branch, Location(database.branch, event.position))
                    delete_chain(connection, database.branch)
    return event


def _is_of_same_request(event: Event, payload: EventPayload) -> bool:
    """Return whether a recorded event and a payload, planned on an equal revision, come of equal requests."""
    if payload.has_request:
        return event.kind == payload.kind and event.payload.get("request") == payload.request
    return has_same_content(event, payload)


def has_same_content(event: Event, payload: EventPayload) -> bool:
    """Return whether an event is of the kind of a payload and says the same, whichever software recorded it."""
    contents = ({**content, "software": None} for content in (event.payload, payload.to_json()))
    return event.kind == payload.kind and len({*map(canonical_json, contents)}) == 1


def make_key_error(event: Event) -> ConflictError:
    """Return the error for an idempotency key that another request, which led to `event`, has used."""
    return ConflictError(
        f"idempotency key '{event.idempotency_key}' was used for another request: @{event.position} {event.kind}. "
        "Use a new key."
    )


def _make_event(
    connection: duckdb.DuckDBPyConnection,
    payload: EventPayload,
    commit_info: CommitInfo,
    place: Place,
    tables: tuple[str, ...],
) -> Event:
    query = (
        "SELECT uuidv7()::VARCHAR, coalesce((SELECT max(generation) FROM log.event "
        "WHERE digest IN (SELECT unnest($1::VARCHAR[]))), 0)"
    )
    ((event_id, generation),) = connection.execute(query, [place.parents]).fetchall()
    event = Event(
        position=place.position,
        event_id=event_id,
        kind=payload.kind,
        version=payload.version,
        recorded_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        **commit_info._asdict(),
        payload=parse_canonical_json(canonical_json(payload.to_json())),
        rows_digest=compute_pending_digest(connection, SCHEMA, tables),
        parents=place.parents,
        digest="",
        format=EVENT_FORMAT,
        generation=1 + generation,
    )
    return event._replace(digest=compute_event_digest(event.hashed_fields()))


def _insert_event(connection: duckdb.DuckDBPyConnection, pending: PendingEvent) -> None:
    ((event_key,),) = connection.execute("SELECT coalesce(max(event_key), 0) + 1 FROM log.event").fetchall()
    for table in pending.tables:
        connection.execute(f"INSERT INTO log.{table} BY NAME SELECT {event_key} AS event_key, * FROM {SCHEMA}.{table}")  # noqa: S608
    event = pending.event
    values = {**event._asdict(), "event_key": event_key, "payload": canonical_json(event.payload)}
    position = values.pop("position")
    columns, placeholders = ", ".join(values), ", ".join(f"${name}" for name in values)
    connection.execute(f"INSERT INTO log.event ({columns}) VALUES ({placeholders})", values)  # noqa: S608
    connection.execute(f"INSERT INTO log.chain VALUES ({BRANCH}, $1, $2)", [position, event_key])  # noqa: S608
