"""Object changes: the rows of the log that name one feature or raster, found by the state's index of hashed ids."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

import duckdb

from geographer.storage.log.ancestry import read_ancestry
from geographer.storage.log.chain import BRANCH

Role = Literal["feature", "raster", "parent", "chip feature", "label", "split"]
"""How a row of the log names an object: as its feature, as its raster, as the parent or the feature of its chip, or as
the raster of its label or split assignment."""

ROLE_TABLES: Final[dict[Role, str]] = {
    "feature": "feature_change",
    "raster": "raster_change",
    "parent": "raster_change",
    "chip feature": "raster_change",
    "label": "label_change",
    "split": "split_change",
}
"""The row table of each role."""

ROLE_COLUMNS: Final[dict[Role, str]] = {
    "feature": "feature_id",
    "raster": "raster_id",
    "parent": "parent_id",
    "chip feature": "feature_id",
    "label": "raster_id",
    "split": "raster_id",
}
"""The column of its table that names the object, in each role."""

_BY_HASH: Final = (
    "SELECT role, position, ordinal FROM state.object_change WHERE object_hash = (hash($id::VARCHAR) >> 32)::UINTEGER"
)
_HASHES: Final = "SELECT id, (hash(id) >> 32)::UINTEGER FROM (SELECT unnest($ids::VARCHAR[]) AS id)"
_ROWS_OF_ROLE: Final = "SELECT object_hash, position, ordinal FROM state.object_change WHERE role = $role"
_UNREADABLE: Final = """
    SELECT replace(table_name, '_change', '') AS role, position, ordinal FROM state.unreadable_row
    WHERE (table_name IN ('feature_change', 'raster_change') AND object = $id)
       OR (table_name IN ('label_change', 'split_change') AND ends_with(object, '/' || $id))
"""
SELECTED_ONE_BY_ONE: Final = 24
"""Up to so many rows, a condition for each is faster: DuckDB skips all vectors of 2,048 rows without the row."""
MERGE_KIND: Final = "branch_merged"
"""The kind of events that merge two branches."""
_MAX_LISTED: Final = 1_000
"""So many hashes at most are literals of a query: parsing more takes longer than passing a list."""
_EVENT_COLUMNS: Final = (
    "position, event_key, kind, recorded_at::TIMESTAMP AS recorded_at, author, message, digest, "
    "CASE WHEN kind IN ('dataset_imported', 'collection_imported') THEN payload->>'$.history.digest' "
    "WHEN len(parents) > 1 THEN parents[2] END AS history"
)


class RowAddress(NamedTuple):
    """Where a row of the log is: the position of its event, and its number in that event's rows of its table."""

    position: int
    ordinal: int


class ChangeEvent(NamedTuple):
    """An event that changed an object.

    `recorded_at` is a time in UTC. `history` is the digest of the history that an import or a merge added; of an
    event that a merge added, its own digest: then `position` is that of the merge.
    """

    position: int
    event_key: int
    kind: str
    recorded_at: Any
    author: str
    message: str
    digest: str
    history: str | None


def find_object_rows(
    connection: duckdb.DuckDBPyConnection, object_id: str, roles: Iterable[Role], *, with_unreadable: bool = False
) -> dict[Role, list[RowAddress]]:
    """Find the rows that may name an object in these roles, oldest first: another id can have the same hash.

    Unreadable rows, which revisions leave out, are found only `with_unreadable`.
    """
    found: dict[Role, list[RowAddress]] = {role: [] for role in roles}
    names = ", ".join(f"'{role}'" for role in found)
    by_hash = f"{_BY_HASH} AND role IN ({names})"
    for query in (by_hash, _UNREADABLE) if with_unreadable else (by_hash,):
        for role, position, ordinal in connection.execute(query, {"id": object_id}).fetchall():
            if role in found:
                found[role].append(RowAddress(position, ordinal))
    return {role: sorted(addresses) for role, addresses in found.items()}


def find_rows_of_ids(
    connection: duckdb.DuckDBPyConnection, object_ids: Sequence[str], role: Role
) -> dict[str, list[RowAddress]]:
    """Find the rows that may name each of many objects in one role, as `find_object_rows` does, by id."""
    found: dict[str, list[RowAddress]] = {object_id: [] for object_id in object_ids}
    hashes = connection.execute(_HASHES, {"ids": list(found)}).fetchall()
    parameters: dict[str, Any] = {"role": role}
    if len(hashes) <= _MAX_LISTED:
        numbers = ", ".join(str(number) for _, number in hashes) or "NULL"
    else:
        numbers, parameters["numbers"] = "SELECT unnest($numbers::UINTEGER[])", [number for _, number in hashes]
    rows_by_hash: dict[int, list[RowAddress]] = {}
    query = f"{_ROWS_OF_ROLE} AND object_hash IN ({numbers})"
    for number, position, ordinal in connection.execute(query, parameters).fetchall():
        rows_by_hash.setdefault(number, []).append(RowAddress(position, ordinal))
    for object_id, number in hashes:
        found[object_id] = sorted(rows_by_hash.get(number, []))
    return found


def fetch_events(connection: duckdb.DuckDBPyConnection, positions: Iterable[int]) -> dict[int, ChangeEvent]:
    """Return the events at these positions of the chain."""
    numbers = ", ".join(str(int(position)) for position in sorted(set(positions))) or "NULL"
    query = (
        f"SELECT {_EVENT_COLUMNS} FROM log.event JOIN (SELECT position, event_key FROM log.chain "  # noqa: S608
        f"WHERE branch = {BRANCH} AND position IN ({numbers})) USING (event_key)"
    )
    return {row[0]: ChangeEvent(*row) for row in connection.execute(query).fetchall()}


def fetch_merged_events(connection: duckdb.DuckDBPyConnection, merge: ChangeEvent) -> list[ChangeEvent]:
    """Return the events that a merge event added to its first parent, oldest first."""
    ancestry = read_ancestry(connection)
    first, *others = ancestry.nodes[merge.digest].parents
    merged_events = ancestry.list_ancestors(others) - ancestry.list_ancestors([first])
    query = (
        f"SELECT {_EVENT_COLUMNS} FROM (SELECT $position AS position, * FROM log.event) "  # noqa: S608
        "WHERE digest IN (SELECT unnest($digests::VARCHAR[])) ORDER BY generation, digest"
    )
    rows = connection.execute(query, {"position": merge.position, "digests": [*merged_events]}).fetchall()
    return [(event := ChangeEvent(*row))._replace(history=event.digest) for row in rows]


def find_origin_event(
    connection: duckdb.DuckDBPyConnection, event: ChangeEvent, role: Role, object_id: str
) -> ChangeEvent:
    """Return the event that made a version of an object: of a merge, the last one that it added and that did."""
    if event.kind != MERGE_KIND:
        return event
    merged_events = fetch_merged_events(connection, event)
    keys = {key for key, *_ in fetch_merged_rows(connection, object_id, role, merged_events, "NULL")}
    return next((item for item in reversed(merged_events) if item.event_key in keys and item.kind != MERGE_KIND), event)


def fetch_merged_rows(
    connection: duckdb.DuckDBPyConnection, object_id: str, role: Role, events: Sequence[ChangeEvent], columns: str
) -> list[tuple[Any, ...]]:
    """Return event key, ordinal, change and `columns` of the rows of events, of any chain, that name an object."""
    keys = ", ".join(str(event.event_key) for event in events) or "NULL"
    query = (
        f"SELECT event_key, ordinal, change, {columns} FROM log.{ROLE_TABLES[role]} "  # noqa: S608
        f"WHERE event_key IN ({keys}) AND {ROLE_COLUMNS[role]} = $id ORDER BY event_key, ordinal"
    )
    return connection.execute(query, {"id": object_id}).fetchall()


def fetch_object_rows(
    connection: duckdb.DuckDBPyConnection,
    object_id: str,
    role: Role,
    addresses: Sequence[RowAddress],
    events: dict[int, ChangeEvent],
    columns: str = "",
) -> list[tuple[Any, ...]]:
    """Return position, ordinal, change and `columns` of the rows at `addresses` that name the object, oldest first."""
    return fetch_rows_of_ids(connection, {object_id: addresses}, role, events, columns)[object_id]


def fetch_rows_of_ids(
    connection: duckdb.DuckDBPyConnection,
    addresses_by_id: Mapping[str, Sequence[RowAddress]],
    role: Role,
    events: Mapping[int, ChangeEvent],
    columns: str = "",
) -> dict[str, list[tuple[Any, ...]]]:
    """Return the rows of each of many objects in one role, as `fetch_object_rows` does, by id."""
    wanted = [
        (object_id, events[address.position].event_key, address.ordinal)
        for object_id, addresses in addresses_by_id.items()
        for address in addresses
    ]
    found: dict[str, list[tuple[Any, ...]]] = {object_id: [] for object_id in addresses_by_id}
    if not wanted:
        return found
    table, name = ROLE_TABLES[role], ROLE_COLUMNS[role]
    selected = f"SELECT {name}, event_key, ordinal, change{', ' if columns else ''}{columns} FROM log.{table}"  # noqa: S608
    if len(wanted) <= SELECTED_ONE_BY_ONE:
        names = {object_id: f"id{number}" for number, object_id in enumerate(sorted({row[0] for row in wanted}))}
        conditions = (
            f"event_key = {key} AND ordinal = {ordinal} AND {name} = ${names[object_id]}"
            for object_id, key, ordinal in wanted
        )
        query = " UNION ALL ".join(f"{selected} WHERE {condition}" for condition in conditions)
        parameters: dict[str, Any] = {parameter: object_id for object_id, parameter in names.items()}
    else:
        lists = (("wanted_id", "VARCHAR"), ("event_key", "INTEGER"), ("ordinal", "BIGINT"))
        unnested = ", ".join(f"unnest(${column}::{kind}[]) AS {column}" for column, kind in lists)
        query = f"{selected} JOIN (SELECT {unnested}) USING (event_key, ordinal) WHERE {name} = wanted_id"
        parameters = {
            column: list(values) for (column, _), values in zip(lists, zip(*wanted, strict=True), strict=True)
        }
    position_by_key = {event.event_key: event.position for event in events.values()}
    for object_id, key, *row in connection.execute(query, parameters).fetchall():
        found[object_id].append((position_by_key[key], *row))
    return {object_id: sorted(rows, key=lambda row: row[:2]) for object_id, rows in found.items()}
