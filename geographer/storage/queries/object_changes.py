"""Object changes: the rows of the log that name one feature or raster, found by the state's index of hashed ids."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal, NamedTuple

import duckdb

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
_SELECTED_ONE_BY_ONE: Final = 24
"""Up to so many rows, a condition for each is faster: DuckDB skips all vectors of 2,048 rows without the row."""
_EVENT_COLUMNS: Final = (
    "position, event_key, kind, recorded_at::TIMESTAMP AS recorded_at, author, message, digest, "
    "CASE WHEN kind = 'dataset_imported' THEN payload->>'$.history.digest' END AS history"
)


class RowAddress(NamedTuple):
    """Where a row of the log is: the position of its event, and its number in that event's rows of its table."""

    position: int
    ordinal: int


class ChangeEvent(NamedTuple):
    """An event that changed an object; `recorded_at` is a time in UTC, `history` the digest that a merge imported."""

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
    numbers = ", ".join(str(number) for _, number in hashes) or "NULL"
    rows_by_hash: dict[int, list[RowAddress]] = {}
    query = f"{_ROWS_OF_ROLE} AND object_hash IN ({numbers})"
    for number, position, ordinal in connection.execute(query, {"role": role}).fetchall():
        rows_by_hash.setdefault(number, []).append(RowAddress(position, ordinal))
    for object_id, number in hashes:
        found[object_id] = sorted(rows_by_hash.get(number, []))
    return found


def fetch_events(connection: duckdb.DuckDBPyConnection, positions: Iterable[int]) -> dict[int, ChangeEvent]:
    """Return the events at these positions of the chain."""
    numbers = ", ".join(str(int(position)) for position in sorted(set(positions))) or "NULL"
    query = (
        f"SELECT {_EVENT_COLUMNS} FROM log.event JOIN (SELECT position, event_key FROM log.chain "  # noqa: S608
        f"WHERE branch = '{BRANCH}' AND position IN ({numbers})) USING (event_key)"
    )
    return {row[0]: ChangeEvent(*row) for row in connection.execute(query).fetchall()}


def fetch_object_rows(
    connection: duckdb.DuckDBPyConnection,
    object_id: str,
    role: Role,
    addresses: Sequence[RowAddress],
    events: dict[int, ChangeEvent],
    columns: str = "",
) -> list[tuple[Any, ...]]:
    """Return position, ordinal, change and `columns` of the rows at `addresses` that name the object, oldest first."""
    table, name = ROLE_TABLES[role], ROLE_COLUMNS[role]
    keys = [(events[address.position].event_key, address.ordinal) for address in addresses]
    position_by_key = {event.event_key: event.position for event in events.values()}
    names = f"event_key, ordinal, change{', ' if columns else ''}{columns}"
    selected = f"SELECT {names} FROM log.{table}"  # noqa: S608
    if not keys:
        return []
    if len(keys) <= _SELECTED_ONE_BY_ONE:
        conditions = (f"event_key = {key} AND ordinal = {ordinal} AND {name} = $id" for key, ordinal in keys)
        query = " UNION ALL ".join(f"{selected} WHERE {condition}" for condition in conditions)
        rows = connection.execute(query, {"id": object_id}).fetchall()
    else:
        wanted = "(SELECT unnest($keys::INTEGER[]) AS event_key, unnest($ordinals::BIGINT[]) AS ordinal)"
        query = f"{selected} JOIN {wanted} USING (event_key, ordinal) WHERE {name} = $id"
        lists = {"keys": [key for key, _ in keys], "ordinals": [ordinal for _, ordinal in keys]}
        rows = connection.execute(query, {"id": object_id, **lists}).fetchall()
    return sorted(((position_by_key[row[0]], *row[1:]) for row in rows), key=lambda row: row[:2])
