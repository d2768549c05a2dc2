"""Check the log: find edited, dropped, reordered and inserted events and rows by recomputing every digest."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import duckdb

from geographer.base.canonical_json import canonical_json, parse_canonical_json
from geographer.base.errors import DamagedFileError, UsageError
from geographer.storage.database.connection import Database
from geographer.storage.events import Event
from geographer.storage.events.envelope import EVENT_FORMAT
from geographer.storage.events.payload import load_payload_classes
from geographer.storage.events.row_tables import KEY_COLUMNS, ROW_TABLES
from geographer.storage.log.branches import read_branch
from geographer.storage.log.chain import list_row_tables
from geographer.storage.log.digests import build_row_digest_sql, compute_event_digest, compute_rows_digests

_FIELDS: Final = ", ".join(name for name in Event._fields if name != "position")

_FIXED_TABLES: Final[dict[str, set[str]]] = {
    "meta": {"format", "written_by"},
    "event": {*Event._fields, "event_key"} - {"position"},
    "chain": {"branch", "position", "event_key"},
}
"""The columns of the tables that are not of rows."""
_ROW_COLUMNS: Final = ("event_key", "ordinal", "change", "row_digest")
_ALL_COLUMNS: Final = (
    "SELECT schema_name, table_name, column_name FROM duckdb_columns() JOIN duckdb_tables() "
    "USING (database_oid, schema_name, table_name) WHERE duckdb_tables.database_name = 'log' ORDER BY ALL"
)
_APPEND_EVENTS: Final = (
    "INSERT INTO log.event SELECT * REPLACE (-event_key AS event_key, 'copy ' || digest AS digest) FROM log.event"
)
_APPEND_CHAIN: Final = "INSERT INTO log.chain SELECT 'copy ' || branch, position, event_key FROM log.chain"
LOG_REMEDY: Final = "Restore .geographer/log.duckdb from a backup, or from someone who has the dataset."


class Finding(NamedTuple):
    """One fault in the log, the state or the files: its kind, such as 'edited row', and its subject.

    `position` is that of the event that recorded the subject, if any; `detail` says what is wrong with which features,
    and `remedy` what to do next. A log with faults can only be replaced.
    """

    kind: str
    subject: str
    position: int | None
    detail: str
    remedy: str = LOG_REMEDY

    def to_dict(self) -> dict[str, Any]:
        """Return the finding as JSON."""
        return {"what": self.kind, "which": self.subject, "since": self.position, "detail": self.detail}


def find_log_faults(connection: duckdb.DuckDBPyConnection) -> list[Finding]:
    """List the faults of the log: those of its events before those of its rows."""
    query = "SELECT branch, position, event_key FROM log.chain ORDER BY branch <> $1, branch, position"
    own = read_branch(connection)
    chains: dict[str, dict[int, int]] = {own: {}}
    for branch, position, key in connection.execute(query, [own]).fetchall():
        chains.setdefault(branch, {})[position] = key
    chain = chains[own]
    position_of_key = {key: position for position, key in chain.items()}
    rows = connection.execute(f"SELECT event_key, {_FIELDS} FROM log.event ORDER BY event_key").fetchall()  # noqa: S608
    events = {key: Event(position_of_key.get(key, 0), *fields) for key, *fields in rows}
    return [
        *_check_tables(connection),
        *_check_events(events, chains, own),
        *_check_rows_digests(events, compute_rows_digests(connection)),
        *_check_rows(connection, events),
    ]


def check_indexes(database: Database) -> None:
    """Raise `DamagedFileError` if an index of the log is damaged: only an append reads all of it, here to a copy.

    Without a temporary folder for the copy, nothing is checked.
    """
    from tempfile import TemporaryDirectory

    path = database.file_path("log")
    with suppress(OSError), TemporaryDirectory(prefix="geographer-") as folder:
        copy = Path(folder) / path.name
        with database.open_connection(log="r"):
            # No other process writes meanwhile. Closing the file ends this process's lock: read nothing afterwards.
            shutil.copyfile(path, copy)
        try:
            with Database(Path(folder)).open_connection(log="w") as connection:
                connection.execute(_APPEND_EVENTS)
                connection.execute(_APPEND_CHAIN)
        except DamagedFileError as error:
            raise DamagedFileError(str(error).replace(str(copy), str(path)), path) from error
        except (duckdb.ConstraintException, duckdb.ProgrammingError):
            # Edited keys and tables are found by comparing digests.
            return


def _check_tables(connection: duckdb.DuckDBPyConnection) -> Iterator[Finding]:
    """Yield what is in the log's file and no digest covers: views, further tables and columns, another `meta`."""
    query = "SELECT view_name FROM duckdb_views() WHERE database_name = 'log' AND NOT internal ORDER BY view_name"
    for (name,) in connection.execute(query).fetchall():
        yield Finding("unexpected view", name, None, "the log has tables only")
    load_payload_classes()  # Some declare row tables.
    tables: dict[str, set[str]] = {}
    for schema, table, column in connection.execute(_ALL_COLUMNS).fetchall():
        tables.setdefault(table if schema == "main" else f"{schema}.{table}", set()).add(column)
    for table, columns in tables.items():
        known = _FIXED_TABLES.get(table) or {*ROW_TABLES.get(table, ()), *_ROW_COLUMNS}
        if table not in _FIXED_TABLES and table not in ROW_TABLES:
            yield Finding("unexpected table", table, None, "the log has no such table, and no digest covers it")
        elif names := sorted(columns - known):
            yield Finding("unexpected column", f"{table} {', '.join(names)}", None, "no digest covers it")
    if "meta" not in tables:
        return
    formats: list[tuple[Any, ...]] = []
    if tables["meta"] >= _FIXED_TABLES["meta"]:
        formats = connection.execute("SELECT format FROM log.meta").fetchall()
    if formats != [(EVENT_FORMAT,)]:
        yield Finding("edited table", "meta", None, "it does not say which version wrote the log, and in which format")


def _check_events(events: dict[int, Event], chains: dict[str, dict[int, int]], own: str) -> Iterator[Finding]:
    """Check the chain of the branch `own`, then where other chains leave it, and that no event is in no chain."""
    for branch, chain in chains.items():
        yield from _check_chain(events, chain, {} if branch == own else chains[own])
    in_chains = {key for chain in chains.values() for key in chain.values()}
    for key, event in events.items():
        if key not in in_chains:
            yield from _check_content(event)
            yield _make_finding("inserted event", event, "it is in no chain")


def _check_chain(events: dict[int, Event], chain: dict[int, int], checked: dict[int, int]) -> Iterator[Finding]:
    """Check a chain from where it leaves the chain `checked`, whose events were checked before."""
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
        first_parent = [previous.digest] if previous else []
        previous = event
        if checked.get(position) == key:
            continue
        yield from _check_content(event)
        if event.parents[:1] != first_parent or not generations.keys() >= set(event.parents):
            detail = "its parent is not the previous event: one was dropped, inserted, reordered or rewritten"
            yield _make_finding("broken chain", event, detail)
        elif event.generation != 1 + max((generations[digest] for digest in event.parents), default=0):
            yield _make_finding("broken chain", event, "its generation does not follow from its parents")


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
    for table in list_row_tables(connection):
        columns = ROW_TABLES[table]
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
