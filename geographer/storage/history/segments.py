"""Segments: immutable Parquet files of events with their rows. docs/log-format.md specifies them.

A segment has one row for each event, whose `content` is the canonical JSON that the event's digest covers, and one row
for each of the event's rows. It is named by the digests of its events: segments of equal name are interchangeable.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import duckdb

from geographer.base.canonical_json import canonical_json, parse_canonical_json
from geographer.base.errors import CorruptError, UnsupportedVersionError, UsageError
from geographer.storage.database.connection import escape_literal, quote_identifier
from geographer.storage.events import Event
from geographer.storage.events.payload import load_payload_classes
from geographer.storage.events.row_tables import ROW_TABLES, list_column_types
from geographer.storage.history.lock_file import SEGMENT_SUFFIX
from geographer.storage.log.chain import BRANCH, build_chain_sql, list_row_tables
from geographer.storage.log.digests import build_lines_sql, build_row_digest_sql, compute_event_digest, hash_lines
from geographer.storage.log.read import read_events_between

SEGMENT_FORMAT: Final = 1
"""The format of new segments; this version reads it."""
SUFFIX: Final = SEGMENT_SUFFIX

_FORMAT_KEY: Final = "geographer_segment"
_EVENT_TABLE: Final = "event"
_COMMON_COLUMNS: Final = {"row_table": "VARCHAR", "event": "INTEGER", "ordinal": "BIGINT", "change": "VARCHAR"}
_CONTENT: Final = "content"
_BATCH_EVENTS: Final = 1_000
_EVENT_ID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.ASCII)
_TIME: Final = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}Z", re.ASCII)
_MAX_EVENTS: Final = 10_000_000
_MAX_TEXT_BYTES: Final = 1 << 28
"""The largest contents of all events of a segment that are read."""


class SegmentEvent(NamedTuple):
    """An event in a segment file: the file, the event's number in it, and the event, whose position is 0."""

    path: Path
    number: int
    event: Event


def compute_segment_name(digests: Iterable[str]) -> str:
    """Return the name of the segment with the events of these digests, in this order: 64 hex digits."""
    return hashlib.sha256("".join(f"{digest}\n" for digest in digests).encode()).hexdigest()


def write_segment(
    connection: duckdb.DuckDBPyConnection, first: int, last: int, path: Path, *, is_sorted: bool = False
) -> list[str]:
    """Write the events at the positions `first` to `last` of the attached log to a file, and return their digests.

    With `is_sorted`, the order of the rows does not depend on how the log came to be. `CorruptError` if an event does
    not match its digest: no other dataset would accept the segment.
    """
    events = read_events_between(connection, first - 1, last)
    contents = [canonical_json(event.hashed_fields()) for event in events]
    for event, content in zip(events, contents, strict=True):
        if hashlib.sha256(content.encode()).hexdigest() != event.digest:
            raise CorruptError(f"event @{event.position} does not match its digest. See geographer verify.")
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE segment_event AS "
        "SELECT unnest(range(len($1::VARCHAR[])))::INTEGER AS event, unnest($1::VARCHAR[]) AS content",
        [contents],
    )
    queries = [f"SELECT '{_EVENT_TABLE}' AS row_table, event, content FROM segment_event"]  # noqa: S608
    queries += _list_row_queries(connection, first, last)
    target = escape_literal(str(path))
    content = " UNION ALL BY NAME ".join(queries)
    if is_sorted:
        has_rows = len(queries) > 1
        content = f"FROM ({content}) ORDER BY row_table, event{', ordinal, change' if has_rows else ''}"
    connection.execute(
        f"COPY ({content}) TO '{target}' "
        f"(FORMAT parquet, COMPRESSION zstd, KV_METADATA {{{_FORMAT_KEY}: '{SEGMENT_FORMAT}'}})"
    )
    connection.execute("DROP TABLE segment_event")
    return [event.digest for event in events]


def _list_row_queries(connection: duckdb.DuckDBPyConnection, first: int, last: int) -> Iterator[str]:
    """Yield a query for the rows of each row table in which the events have any."""
    for table in find_tables_with_rows(connection, list_row_tables(connection), first, last):
        columns = ", ".join(map(quote_identifier, ROW_TABLES[table]))
        values = f"'{table}' AS row_table, (position - {first:d})::INTEGER AS event, ordinal, change, {columns}"
        condition = f"position BETWEEN {first:d} AND {last:d}"
        yield f"SELECT {values} FROM ({build_chain_sql(table)}) WHERE {condition}"  # noqa: S608


def find_tables_with_rows(
    connection: duckdb.DuckDBPyConnection, tables: Sequence[str], first: int, last: int
) -> list[str]:
    """Return those of the row tables that may have rows of the events at the positions `first` to `last`.

    Only keys of events are compared, which costs one query: a table may be named for rows of another chain.
    """
    query = (
        f"SELECT min(event_key), max(event_key) FROM log.chain WHERE branch = {BRANCH} AND position BETWEEN $1 AND $2"  # noqa: S608
    )
    ((low, high),) = connection.execute(query, [first, last]).fetchall()
    if low is None:
        return []
    # DuckDB plans this in a tenth of the time that it needs for EXISTS.
    keys = f"event_key BETWEEN {low:d} AND {high:d}"
    found = [f"(SELECT '{table}' FROM log.{table} WHERE {keys} LIMIT 1)" for table in tables]  # noqa: S608
    named = {name for (name,) in connection.execute(" UNION ALL ".join(found)).fetchall()}
    return [table for table in tables if table in named]


def build_scan_sql(path: Path) -> str:
    """Return the table function that reads a segment; characters of the path that would be a pattern are escaped."""
    pattern = "".join(f"[{letter}]" if letter in "*?[" else letter for letter in str(path))
    return f"read_parquet('{escape_literal(pattern)}', hive_partitioning = false)"


def read_segment_digests(connection: duckdb.DuckDBPyConnection, path: Path) -> list[str]:
    """Return the digests of the events of a segment file that may come from anywhere, in their order there.

    Checked are its format and columns; errors are those of `read_segment_events`.
    """
    try:
        _check_format(connection, path)
        tables = _check_columns(connection, path)
        events = f"FROM {build_scan_sql(path)} WHERE row_table = '{_EVENT_TABLE}'"
        count, size = connection.execute(f"SELECT count(*), sum(strlen(content)) {events}").fetchall()[0]
        if count > _MAX_EVENTS or (size or 0) > _MAX_TEXT_BYTES:
            raise _make_damage_error(path, f"it has {count:,} events of {size:,} bytes, too many to read")
        rows = connection.execute(f"SELECT event, sha256(content) {events} ORDER BY event").fetchall()
    except duckdb.Error as error:
        raise _make_damage_error(path, str(error).partition("\n")[0]) from error
    load_payload_classes()
    if unknown := tables - {_EVENT_TABLE, *ROW_TABLES}:
        raise UnsupportedVersionError(
            f"the segment '{path.name}' has rows of '{sorted(unknown)[0]}', which this version of geographer does not "
            "know. Upgrade geographer."
        )
    if [number for number, _ in rows] != [*range(len(rows))]:
        raise _make_damage_error(path, "its events are not numbered 0, 1, 2 …")
    return [digest for _, digest in rows]


def read_segment_events(
    connection: duckdb.DuckDBPyConnection, path: Path, known: Collection[str] = ()
) -> list[SegmentEvent]:
    """Read and check the events of a segment file that may come from anywhere, without those of `known` digests.

    Checked are the format, the columns and their types, the names of the row tables, and that each content is the
    canonical JSON of an event. The digest of an event is that of its content, so it cannot be another event's.

    Raises:
        CorruptError: the file is not a segment, or damaged.
        UnsupportedVersionError: a newer version of geographer wrote it.
    """
    digests = read_segment_digests(connection, path)
    numbers = [number for number, digest in enumerate(digests) if digest not in known]
    query = (
        f"SELECT event, content FROM {build_scan_sql(path)} "  # noqa: S608
        f"WHERE row_table = '{_EVENT_TABLE}' AND event IN (SELECT unnest($1::INTEGER[])) ORDER BY event"
    )
    if not numbers:
        return []
    result, events = connection.execute(query, [numbers]), list[SegmentEvent]()
    while rows := result.fetchmany(_BATCH_EVENTS):
        events += [SegmentEvent(path, number, _parse_event(path, content)) for number, content in rows]
    return events


def has_recorded_rows(connection: duckdb.DuckDBPyConnection, path: Path) -> bool:
    """Return whether the rows of all events of a segment file, whose events were checked, match their digests."""
    try:
        columns = list_segment_columns(connection, path)
        lines = [
            build_lines_sql(
                table,
                f"(SELECT event, ordinal, change, {build_row_digest_sql(table)} AS row_digest "  # noqa: S608
                f"FROM ({build_rows_sql(path, table, columns)}))",
                "event",
            )
            for table in sorted(list_segment_tables(connection, path))
        ]
        digests = hash_lines(connection, lines)
        query = (
            f"SELECT event, content->>'$.rows_digest' FROM {build_scan_sql(path)} "  # noqa: S608
            f"WHERE row_table = '{_EVENT_TABLE}'"
        )
        recorded = dict(connection.execute(query).fetchall())
    except duckdb.Error:
        return False
    return digests.keys() <= recorded.keys() and all(digests[number] == digest for number, digest in recorded.items())


def build_rows_sql(path: Path, table: str, columns: Iterable[str]) -> str:
    """Return the query for the rows of a row table in a segment: `event`, `ordinal`, `change` and the columns.

    A column that the file lacks is NULL; all have the types of the log.
    """
    types = list_column_types(table)
    present = set(columns)
    values = ", ".join(
        f"{quote_identifier(name) if name in present else 'NULL'}::{kind} AS {quote_identifier(name)}"
        for name, kind in types.items()
    )
    return f"SELECT event, ordinal, change, {values} FROM {build_scan_sql(path)} WHERE row_table = '{table}'"  # noqa: S608


def list_segment_columns(connection: duckdb.DuckDBPyConnection, path: Path) -> dict[str, str]:
    """Return the columns of a segment file with their types."""
    rows = connection.execute(f"DESCRIBE SELECT * FROM {build_scan_sql(path)}").fetchall()  # noqa: S608
    return {name: kind for name, kind, *_ in rows}


def list_segment_tables(connection: duckdb.DuckDBPyConnection, path: Path) -> set[str]:
    """Return the row tables that have rows in a segment file."""
    rows = connection.execute(f"SELECT DISTINCT row_table FROM {build_scan_sql(path)}").fetchall()  # noqa: S608
    return {table for (table,) in rows if table != _EVENT_TABLE}


def _check_format(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    pattern = build_scan_sql(path).removeprefix("read_parquet(").partition(", hive")[0]
    query = f"SELECT decode(value) FROM parquet_kv_metadata({pattern}) WHERE decode(key) = '{_FORMAT_KEY}'"  # noqa: S608
    formats = [text for (text,) in connection.execute(query).fetchall()]
    if len(formats) != 1 or not re.fullmatch("[0-9]{1,9}", formats[0]):
        raise _make_damage_error(path, "it does not say that it is a segment")
    if int(formats[0]) > SEGMENT_FORMAT:
        raise UnsupportedVersionError(
            f"the segment '{path.name}' has format {formats[0]}; this version of geographer reads up to "
            f"{SEGMENT_FORMAT}. Upgrade geographer."
        )


def _check_columns(connection: duckdb.DuckDBPyConnection, path: Path) -> set[str]:
    """Check the names and types of the columns, and return the tables that have rows."""
    columns = list_segment_columns(connection, path)
    expected = dict(_COMMON_COLUMNS) | {_CONTENT: "VARCHAR"}
    missing = {"row_table", "event", _CONTENT} - columns.keys()
    load_payload_classes()
    types: dict[str, set[str]] = {}
    for table in ROW_TABLES:
        for name, kind in list_column_types(table).items():
            types.setdefault(name, set()).add(kind)
    wrong = [
        name
        for name, kind in columns.items()
        if kind != expected.get(name, kind)
        or (name not in expected and kind not in types.get(name, {kind}) | {"VARCHAR"})
    ]
    if missing or wrong:
        raise _make_damage_error(path, f"column '{sorted([*missing, *wrong])[0]}' is missing or has another type")
    query = f"SELECT DISTINCT row_table FROM {build_scan_sql(path)}"  # noqa: S608
    return {str(table) for (table,) in connection.execute(query).fetchall()}


def _parse_event(path: Path, content: str | None) -> Event:
    try:
        fields: dict[str, Any] = parse_canonical_json(content or "")
        if canonical_json(fields) != content:
            raise ValueError("its JSON is not canonical")
        if "format" not in fields:
            fields |= {"format": 1, "generation": fields.pop("position")}
        event = Event(position=0, digest="", **fields)
        _check_types(event)
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError, UsageError) as error:
        raise _make_damage_error(path, f"an event is not as the log format says ({error})") from error
    return event._replace(digest=compute_event_digest(event.hashed_fields()))


def _check_types(event: Event) -> None:
    names = ("event_id", "kind", "recorded_at", "author", "message", "command", "rows_digest")
    texts = [getattr(event, name) for name in names]
    numbers = (event.version, event.format, event.generation)
    if not all(isinstance(text, str) for text in (*texts, event.idempotency_key or "", *event.parents)):
        raise ValueError("a text has another type")
    if not all(type(number) is int and 0 < number < 1 << 31 for number in numbers):
        raise ValueError("a number has another type")
    if not isinstance(event.payload, dict) or not isinstance(event.parents, list):
        raise ValueError("its payload or its parents have another type")
    if not _EVENT_ID.fullmatch(event.event_id):
        raise ValueError("its id is not a UUID")
    if not _TIME.fullmatch(event.recorded_at) or not event.author:
        raise ValueError("its time is not as in 2026-11-23T09:05:00.000000Z, or its author is empty")
    datetime.fromisoformat(event.recorded_at)


def _make_damage_error(path: Path, reason: str) -> CorruptError:
    return CorruptError(
        f"'{path.name}' is not a segment of a dataset's history, or damaged: {reason}. Get it again with geographer "
        "pull, or from the one who published it."
    )
