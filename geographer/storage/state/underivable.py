"""Underivable rows: find the rows of the log from which SQL cannot derive the state, by trying parts of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

import duckdb

from geographer.base.errors import CorruptError
from geographer.storage.database.connection import Database
from geographer.storage.log.chain import build_chain_sql, list_row_tables
from geographer.storage.state.unreadable import build_object_sql

NO_ROWS: Final = "SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL WHERE false"
"""The query for no rows of `state.unreadable_row`."""
_CANDIDATES: Final = "memory.main.underivable_candidate"
_PROBLEM: Final = "the state cannot be derived from it"
_GEOMETRIES: Final = {
    "feature_change": ("geometry", "its geometry is not WKB"),
    "raster_change": ("outline", "its outline is not a polygon"),
}
"""The column of geometries in a row table, and the problem of a row whose geometry GEOS cannot read."""
_BATCH_ROWS: Final = 100_000
_SIMPLE_WKB: Final = """
octet_length({0}) = 21 AND {0}[1:5] = '\\x01\\x01\\x00\\x00\\x00'::BLOB
OR octet_length({0}) BETWEEN 77 AND 4093 AND (octet_length({0}) - 13) % 16 = 0
   AND {0}[1:9] = '\\x01\\x03\\x00\\x00\\x00\\x01\\x00\\x00\\x00'::BLOB
   AND hex({0}[10:13]) = lpad(upper(to_hex((octet_length({0}) - 13) // 16)), 2, '0') || '000000'
   AND {0}[14:29] = {0}[octet_length({0}) - 15:octet_length({0})]
"""
"""Whether WKB is a point, or a polygon with one closed ring of 4 to 255 points: their counts need no other check."""
OPEN_END: Final = 2**63 - 1
"""The `valid_to` of a row that is still valid."""

StateDeriver = Callable[..., AbstractContextManager[object]]
"""Derives the state after a position without the rows of the query `left_out`, in a transaction that the block ends."""


class UnderivableError(CorruptError):
    """The state cannot be derived from the log."""


class _RollbackError(Exception):
    """Ends a transaction whose changes are not wanted."""


@contextmanager
def find_underivable_rows(database: Database, after: int, derive_state: StateDeriver) -> Iterator[str]:
    """Yield the query for the rows of events after a position that make the derivation fail.

    Each half of the rows that fail is tried by itself; rows that fail only together are all left out.
    """

    def can_derive(start: int, end: int) -> bool:
        left_out = _select_candidates(f"index NOT BETWEEN {start} AND {end - 1}")
        try:
            with derive_state(database, after, left_out=left_out):
                raise _RollbackError
        except _RollbackError:
            return True
        except UnderivableError:
            return False

    def list_failing(start: int, end: int) -> list[int]:
        if end - start == 1:
            return [start]
        middle = (start + end) // 2
        halves = [half for half in ((start, middle), (middle, end)) if not can_derive(*half)]
        return [index for half in halves for index in list_failing(*half)] or [*range(middle, end)]

    with database.open_connection(log="r") as connection:
        count = _create_candidates(connection, after)
    with database.open_connection() as connection:
        try:
            failing = list_failing(0, count) if count else []
            yield _select_candidates(f"index IN ({', '.join(map(str, failing)) or -1})")
        finally:
            connection.execute(f"DROP TABLE {_CANDIDATES}")


def find_invalid_geometries(connection: duckdb.DuckDBPyConnection, after: int, up_to: int) -> list[tuple[object, ...]]:
    """Return rows of `state.unreadable_row` for the geometries that GEOS cannot read, of a range of events.

    DuckDB does not check all counts in WKB: one that is wrong ends all its connections.
    """
    invalid: list[tuple[object, ...]] = []
    for table, (column, problem) in _GEOMETRIES.items():
        is_checked = f"{column} IS NOT NULL AND NOT ({_SIMPLE_WKB.format(column)})"
        result = connection.execute(
            f"SELECT position, ordinal, {build_object_sql(table)} AS object, row_digest, {column} AS wkb "  # noqa: S608
            f"FROM ({build_chain_sql(table)}) WHERE position > $after AND position <= $up_to AND {is_checked}",
            {"after": after, "up_to": up_to},
        )
        while rows := result.fetchmany(_BATCH_ROWS):
            invalid += [
                (position, table, ordinal, name, problem, digest, position, OPEN_END)
                for position, ordinal, name, digest in _list_invalid_rows(rows)
            ]
    return invalid


def _list_invalid_rows(rows: list[tuple[Any, ...]]) -> list[tuple[int, int, str, str]]:
    """Return the columns before the WKB of the rows whose WKB is invalid."""
    import shapely

    geometries = shapely.from_wkb([wkb for *_, wkb in rows], on_invalid="ignore")
    missing = shapely.is_missing(geometries).tolist()
    return [(row[0], row[1], row[2], row[3]) for row, is_missing in zip(rows, missing, strict=True) if is_missing]


def _create_candidates(connection: duckdb.DuckDBPyConnection, after: int) -> int:
    """Create the table of all rows of the events after a position, and return their number."""
    rows = " UNION ALL ".join(
        f"SELECT position, '{table}' AS table_name, ordinal, {build_object_sql(table)} AS object, row_digest "  # noqa: S608
        f"FROM ({build_chain_sql(table)}) WHERE position > {after}"
        for table in list_row_tables(connection)
        if table.endswith("_change")
    )
    query = f"SELECT row_number() OVER (ORDER BY position, table_name, ordinal) - 1 AS index, * FROM ({rows})"  # noqa: S608
    connection.execute(f"CREATE OR REPLACE TABLE {_CANDIDATES} AS {query}")
    ((count,),) = connection.execute(f"SELECT count(*) FROM {_CANDIDATES}").fetchall()  # noqa: S608
    return int(count)


def _select_candidates(condition: str) -> str:
    return (
        f"SELECT position, table_name, ordinal, object, '{_PROBLEM}', row_digest, position, {OPEN_END} "  # noqa: S608
        f"FROM {_CANDIDATES} WHERE {condition}"
    )
