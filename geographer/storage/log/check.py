"""Check the log: find edited, dropped, reordered and inserted events and rows by recomputing every digest."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import duckdb

from geographer.base.canonical_json import canonical_json, parse_canonical_json
from geographer.base.errors import UsageError
from geographer.storage.events import Event
from geographer.storage.events.row_tables import KEY_COLUMNS, ROW_TABLES
from geographer.storage.log.chain import BRANCH
from geographer.storage.log.digests import build_row_digest_sql, compute_event_digest, compute_rows_digests

_FIELDS: Final = ", ".join(name for name in Event._fields if name != "position")


class Finding(NamedTuple):
    """One fault in the log, the state or the files: its kind, such as 'edited row', and its subject.

    `position` is that of the event that recorded the subject, if any; `detail` says what is wrong with which features.
    """

    kind: str
    subject: str
    position: int | None
    detail: str

    def to_dict(self) -> dict[str, Any]:
        """Return the finding as JSON."""
        return {"what": self.kind, "which": self.subject, "since": self.position, "detail": self.detail}


def find_log_faults(connection: duckdb.DuckDBPyConnection) -> list[Finding]:
    """List the faults of the log: those of its events before those of its rows."""
    query = "SELECT position, event_key FROM log.chain WHERE branch = $1 ORDER BY position"
    chain = dict(connection.execute(query, [BRANCH]).fetchall())
    position_of_key = {key: position for position, key in chain.items()}
    rows = connection.execute(f"SELECT event_key, {_FIELDS} FROM log.event ORDER BY event_key").fetchall()  # noqa: S608
    events = {key: Event(position_of_key.get(key, 0), *fields) for key, *fields in rows}
    return [
        *_check_chain(events, chain),
        *_check_rows_digests(events, compute_rows_digests(connection)),
        *_check_rows(connection, events),
    ]


def _check_chain(events: dict[int, Event], chain: dict[int, int]) -> Iterator[Finding]:
    generations = {event.digest: event.generation for event in events.values()}
    previous: Event | None = None
    expected = 1
    for position, key in chain.items():
        if position != expected:
            yield Finding("dropped event", f"@{expected}", expected, f"the next event in the log is @{position}")
        expected = position + 1
        event = events.get(key)
        if event is None:
            yield Finding("dropped event", f"@{position}", position, "the chain has it, but the log does not")
            continue
        yield from _check_content(event)
        first_parent = [previous.digest] if previous else []
        if event.parents[:1] != first_parent or not generations.keys() >= set(event.parents):
            detail = "its parent is not the previous event: one was dropped, inserted, reordered or rewritten"
            yield _make_finding("broken chain", event, detail)
        elif event.generation != 1 + max((generations[digest] for digest in event.parents), default=0):
            yield _make_finding("broken chain", event, "its generation does not follow from its parents")
        previous = event
    for event in events.values():
        if not event.position:
            yield from _check_content(event)
            yield _make_finding("inserted event", event, "it is in no chain")


def _check_content(event: Event) -> Iterator[Finding]:
    """Compare the event with its digest. The stored payload must be canonical: other text can have two meanings."""
    payload_text = str(event.payload)
    try:
        payload = parse_canonical_json(payload_text)
        is_canonical = canonical_json(payload) == payload_text
    except (ValueError, UsageError):
        is_canonical = False
    if not is_canonical:
        yield _make_finding("edited event", event, "its payload is not the canonical JSON that was written")
    elif compute_event_digest(event._replace(payload=payload).hashed_fields()) != event.digest:
        yield _make_finding("edited event", event, "its content does not match its digest")


def _check_rows_digests(events: dict[int, Event], digests: defaultdict[int, str]) -> Iterator[Finding]:
    for key, event in events.items():
        if digests[key] != event.rows_digest:
            detail = "rows were added, removed or reordered, or their digests were changed"
            yield _make_finding("altered rows", event, detail)
    for key in sorted(digests.keys() - events.keys()):
        yield Finding("rows without event", f"key {key}", None, "no event has their key")


def _check_rows(connection: duckdb.DuckDBPyConnection, events: dict[int, Event]) -> Iterator[Finding]:
    for table, columns in ROW_TABLES.items():
        edited = connection.execute(
            f"SELECT event_key, concat_ws('/', {', '.join(KEY_COLUMNS[table])}) FROM log.{table} "  # noqa: S608
            f"WHERE row_digest IS DISTINCT FROM {build_row_digest_sql(table)} ORDER BY event_key, ordinal"
        ).fetchall()
        for key, name in edited:
            position = events[key].position or None if key in events else None
            detail = f"its columns ({', '.join(columns)}) do not match their digest"
            yield Finding("edited row", f"{table.partition('_')[0]} {name}", position, detail)


def _make_finding(kind: str, event: Event, detail: str) -> Finding:
    return Finding(kind, f"@{event.position or event.digest[:12]} {event.kind}", event.position or None, detail)
