"""Ingest: take the events of segments, which may come from anywhere, into the log, after checking all of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import duckdb

from geographer.base.canonical_json import canonical_json
from geographer.base.errors import ConflictError, CorruptError, GeographerError, NotFoundError
from geographer.storage.database.connection import Database, open_transaction, run_script
from geographer.storage.database.duckdb_errors import is_disk_error
from geographer.storage.events import Event
from geographer.storage.events.payload import parse_payload
from geographer.storage.events.row_tables import ROW_TABLES
from geographer.storage.history.segments import (
    SegmentEvent,
    build_rows_sql,
    list_segment_columns,
    list_segment_tables,
    read_segment_events,
)
from geographer.storage.log.append import create_row_tables
from geographer.storage.log.branches import find_chain_of, keep_merged_events, replace_chain
from geographer.storage.log.chain import list_row_tables
from geographer.storage.log.digests import build_row_digest_sql, compute_rows_digests
from geographer.storage.log.read import is_supported_event, make_version_error, require_supported_log
from geographer.storage.state.update import PATH_FAULT_SQL

_WRITE_ERROR: Final = "cannot write the log; nothing was taken in: {}"
_PATHS: Final = {"raster_change": "storage = 'dvc' AND change <> 'removed'", "label_change": "change <> 'removed'"}
"""The rows of each table whose paths are written to."""


class IngestResult(NamedTuple):
    """What was taken in: the number of new events, the position of the head, and the position where it left the log.

    `common` is the last position that the chain shares with the branch in use; 0: none.
    """

    events: int
    position: int
    common: int


class _Incoming(NamedTuple):
    """The chain that ends at an expected head: all its digests from the first, and its events that the log lacks."""

    digests: list[str]
    new_events: list[SegmentEvent]


def ingest_segments(
    database: Database, paths: Iterable[Path], head: str, dataset: str, branch: str, *, position: int | None = None
) -> IngestResult:
    """Take the events up to the digest `head` into the log, as the chain `branch`; nothing if one check fails.

    A chain is only extended: the branch in use moves forward to the new head or stays. Checked are the format of each
    file, the digest of each event and of its rows, the chain up to the first event, whose digest is `dataset`, the
    schema of each event, every path that files would be written to, and that the head is at `position`, if that is
    given.

    Raises:
        NotFoundError: the files lack an event that leads to `head`.
        CorruptError: a file, an event or a row is not as it should be.
        ConflictError: the events are those of another dataset, or the branch does not lead to `head`.
        UnsupportedVersionError: a newer version of geographer recorded an event.
        StorageError: the disk is full. In all cases, nothing was taken in.
    """
    with database.open_connection(log="w") as connection:
        require_supported_log(connection)
        found: dict[str, SegmentEvent] = {}
        known = {digest for (digest,) in connection.execute("SELECT digest FROM log.event").fetchall()}
        for path in paths:
            for item in read_segment_events(connection, path, known):
                found.setdefault(item.event.digest, item)
        incoming = _find_chain(connection, found, head, dataset)
        if position is not None and position != len(incoming.digests):
            raise CorruptError(
                f"{branch} says that it is at @{position}, and its events end at @{len(incoming.digests)}."
            )
        own_chain = _read_chain(connection, database.branch)
        common = sum(1 for own, other in zip(own_chain, incoming.digests, strict=False) if own == other)
        tracked, replaced = _read_chain(connection, branch), list[str]()
        if tracked != incoming.digests[: len(tracked)]:
            if branch == database.branch:
                raise ConflictError(f"the log's head @{len(tracked)} does not lead to {head[:12]}.")
            # Another remote has taken the place of the one that this chain was read from.
            replaced, tracked = tracked, []
        with open_transaction(connection, _WRITE_ERROR):
            _insert_events(connection, incoming.new_events)
            if replaced:
                _rename_chain(connection, branch, f"{branch}@{replaced[-1][:12]}")
            _extend_chain(connection, branch, incoming.digests, len(tracked))
            if any(len(item.event.parents) > 1 for item in incoming.new_events):
                keep_merged_events(connection)
    return IngestResult(len(incoming.new_events), len(incoming.digests), common)


def copy_chain(database: Database, branch: str, head: str) -> None:
    """Let the chain `branch` have the events up to the digest `head`, which the log must have.

    What it had beyond these stays in a hidden chain.
    """
    with database.open_connection(log="w") as connection:
        source = find_chain_of(connection, head)
        if source is None:
            raise NotFoundError(f"the log lacks the event {head[:12]}. Run geographer fetch.")
        with open_transaction(connection, _WRITE_ERROR):
            replace_chain(connection, branch, source)


def read_chain(database: Database, branch: str) -> list[str]:
    """Return the digests of the events of a chain, in order; none if the log has no such chain."""
    with database.open_connection(log="r") as connection:
        return _read_chain(connection, branch)


def _read_chain(connection: duckdb.DuckDBPyConnection, branch: str) -> list[str]:
    query = "SELECT digest FROM log.chain JOIN log.event USING (event_key) WHERE branch = $1 ORDER BY position"
    return [digest for (digest,) in connection.execute(query, [branch]).fetchall()]


def _find_chain(
    connection: duckdb.DuckDBPyConnection, found: Mapping[str, SegmentEvent], head: str, dataset: str
) -> _Incoming:
    """Follow first parents from the head to the first event, and check each event that the log lacks."""
    rows = connection.execute("SELECT digest, parents, generation FROM log.event").fetchall()
    known = {digest: (parents, generation) for digest, parents, generation in rows}
    chain: list[str] = []
    digest: str | None = head
    while digest is not None:
        if len(chain) > len(known) + len(found):
            raise CorruptError("the events of the history lead round in a circle.")
        chain.append(digest)
        if digest in known:
            parents = known[digest][0]
        elif digest in found:
            parents = found[digest].event.parents
        else:
            raise NotFoundError(
                f"the segments lack event {digest[:12]}, which leads to {head[:12]}. Get them with geographer pull, "
                "or dvc pull."
            )
        digest = parents[0] if parents else None
    chain.reverse()
    if chain[0] != dataset:
        raise ConflictError(
            f"the history begins with event {chain[0][:12]}, and the dataset with {dataset[:12]}: they are different "
            "datasets."
        )
    new_events = _list_new_events(chain, known, found)
    generations = {digest: generation for digest, (_, generation) in known.items()}
    for item in new_events:
        _check_event(item.event, generations)
        generations[item.event.digest] = item.event.generation
    return _Incoming(chain, new_events)


def _list_new_events(
    chain: Sequence[str], known: Mapping[str, object], found: Mapping[str, SegmentEvent]
) -> list[SegmentEvent]:
    """Return the events of the chain and of merged histories that the log lacks, parents first."""
    needed: dict[str, SegmentEvent] = {}
    waiting = [digest for digest in chain if digest not in known]
    while waiting:
        digest = waiting.pop()
        if digest in known or digest in needed:
            continue
        if digest not in found:
            raise NotFoundError(f"the segments lack event {digest[:12]}. Get them with geographer pull, or dvc pull.")
        needed[digest] = found[digest]
        waiting += found[digest].event.parents
    return sorted(needed.values(), key=lambda item: (item.event.generation, item.event.digest))


def _check_event(event: Event, generations: Mapping[str, int]) -> None:
    """Check an event whose parents are known, with their generations; a parent that is not known gives a wrong one."""
    name = f"the event {event.digest[:12]} '{event.kind}'"
    if event.generation != 1 + max((generations.get(digest, -1) for digest in event.parents), default=0):
        raise CorruptError(f"{name} has a generation that does not follow from its parents.")
    if not is_supported_event(event.format, event.kind, event.version):
        raise make_version_error(event._replace(position=event.generation))
    try:
        parse_payload(event.kind, event.version, event.payload)
    except GeographerError as error:
        raise CorruptError(f"{name} cannot be taken in: {error}") from error


def _insert_events(connection: duckdb.DuckDBPyConnection, events: Sequence[SegmentEvent]) -> None:
    """Insert events with their rows, then compare the digests of the rows with those that the events record."""
    if not events:
        return
    ((last_key,),) = connection.execute("SELECT coalesce(max(event_key), 0) FROM log.event").fetchall()
    _reject_rows_without_event(connection, last_key)
    key_of_digest = {item.event.digest: last_key + number for number, item in enumerate(events, start=1)}
    run_script(connection, PATH_FAULT_SQL.read_text())
    for item in events:
        _insert_event(connection, item.event, key_of_digest[item.event.digest])
    for path in dict.fromkeys(item.path for item in events):
        keys = {item.number: key_of_digest[item.event.digest] for item in events if item.path == path}
        columns = list_segment_columns(connection, path)
        tables = sorted(list_segment_tables(connection, path))
        create_row_tables(connection, tables)
        for table in tables:
            try:
                _insert_rows(connection, build_rows_sql(path, table, columns), table, keys)
            except duckdb.Error as error:
                if is_disk_error(error):
                    raise
                reason = str(error).partition("\n")[0]
                raise CorruptError(
                    f"a row of '{table}' in '{path.name}' cannot be used: {reason}. Nothing was taken in."
                ) from error
    _check_rows(connection, {key_of_digest[item.event.digest]: item.event for item in events}, last_key)


def _reject_rows_without_event(connection: duckdb.DuckDBPyConnection, last_key: int) -> None:
    """Reject a log that has rows whose event was deleted: they would become those of a new event."""
    for table in list_row_tables(connection):
        if connection.execute(f"SELECT 1 FROM log.{table} WHERE event_key > $1 LIMIT 1", [last_key]).fetchone():  # noqa: S608
            raise CorruptError(
                f"the log has rows in '{table}' whose event was deleted. See geographer verify. To rebuild the log "
                "from history/, move .geographer/log.duckdb to another folder, and run the next command."
            )


def _insert_event(connection: duckdb.DuckDBPyConnection, event: Event, key: int) -> None:
    values = {**event._asdict(), "event_key": key, "payload": canonical_json(event.payload)}
    del values["position"]
    columns, placeholders = ", ".join(values), ", ".join(f"${name}" for name in values)
    connection.execute(f"INSERT INTO log.event ({columns}) VALUES ({placeholders})", values)  # noqa: S608


def _insert_rows(connection: duckdb.DuckDBPyConnection, rows: str, table: str, keys: Mapping[int, int]) -> None:
    """Insert the rows of the events that `keys` numbers: their number in the segment to their key in the log."""
    columns = ", ".join(f'"{column}"' for column in ROW_TABLES[table])
    values = f"ordinal, change, {columns}, {build_row_digest_sql(table)} AS row_digest"
    offsets = {key - number for number, key in keys.items()}
    if len(offsets) == 1 and max(keys) - min(keys) + 1 == len(keys):
        # The usual case: the new events of a segment follow each other, in the log, too.
        numbers = f"event BETWEEN {min(keys):d} AND {max(keys):d}"
        source = f"SELECT event + {offsets.pop():d} AS event_key, {values} FROM ({rows}) WHERE {numbers}"  # noqa: S608
        connection.execute(f"INSERT INTO log.{table} BY NAME {source}")
        return
    known = "SELECT unnest($numbers::INTEGER[]) AS event, unnest($keys::INTEGER[]) AS event_key"
    connection.execute(
        f"INSERT INTO log.{table} BY NAME SELECT event_key, {values} FROM ({rows}) JOIN ({known}) USING (event)",  # noqa: S608
        {"numbers": [*keys], "keys": [*keys.values()]},
    )


def _check_rows(connection: duckdb.DuckDBPyConnection, events: Mapping[int, Event], last_key: int) -> None:
    digests = compute_rows_digests(connection, after_key=last_key)
    for key, event in events.items():
        if digests[key] != event.rows_digest:
            name = f"event {event.digest[:12]} '{event.kind}'"
            raise CorruptError(f"the rows of {name} do not match its digest: the segment was altered.")
    for table, condition in _PATHS.items():
        query = (
            f"SELECT raster_id, path, path_fault(path) AS fault FROM log.{table} "  # noqa: S608
            f"WHERE event_key > $last AND {condition} AND fault IS NOT NULL ORDER BY ALL LIMIT 1"
        )
        for raster_id, path, fault in connection.execute(query, {"last": last_key}).fetchall():
            raise CorruptError(f"raster '{raster_id}' would have the file {path!r}: {fault}. Nothing was taken in.")


def _rename_chain(connection: duckdb.DuckDBPyConnection, branch: str, name: str) -> None:
    """Keep a chain under another name, so that each event stays in a chain."""
    columns = "SELECT $2, position, event_key FROM log.chain WHERE branch = $1"
    connection.execute(f"INSERT OR IGNORE INTO log.chain {columns}", [branch, name])
    connection.execute("DELETE FROM log.chain WHERE branch = $1", [branch])


def _extend_chain(connection: duckdb.DuckDBPyConnection, branch: str, digests: Sequence[str], after: int) -> None:
    connection.execute(
        "INSERT INTO log.chain SELECT $branch, position, event_key FROM (SELECT unnest($digests::VARCHAR[]) AS digest, "
        "unnest(range($first, $first + len($digests::VARCHAR[]))) AS position) JOIN log.event USING (digest) "
        "ORDER BY position",
        {"branch": branch, "digests": [*digests[after:]], "first": after + 1},
    )
