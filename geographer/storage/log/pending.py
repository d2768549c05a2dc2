"""Pending rows: the rows of the next event in memory, from which the state is derived before they are appended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

import duckdb

from geographer.base.errors import UsageError
from geographer.storage.database.connection import register_table
from geographer.storage.events import Event
from geographer.storage.events.plain_rows import PlainRows, make_arrow
from geographer.storage.events.row_tables import ROW_TABLES, cast_columns, declare_columns
from geographer.storage.log.digests import build_row_digest_sql

if TYPE_CHECKING:
    from geographer.storage.events.plain_rows import PlannedRows

SCHEMA: Final = "memory.pending"
"""The schema of the pending rows: every connection to the in-memory database sees it."""


_MAX_PLAIN_ROWS: Final = 1_000
"""Up to so many rows are passed to DuckDB as lists; Arrow is faster for more."""


class PendingEvent(NamedTuple):
    """An event that is not appended yet, and the row tables in which it has pending rows."""

    event: Event
    tables: tuple[str, ...]


@contextmanager
def stage_rows(connection: duckdb.DuckDBPyConnection, rows: Mapping[str, PlannedRows]) -> Iterator[tuple[str, ...]]:
    """Copy planned rows, with their digests, to tables in `SCHEMA` while the block runs; yield the names of the tables.

    `rows` are by log table: an Arrow table, plain rows, or the name of a relation in the connection. `UsageError` if
    DuckDB cannot store them, e.g. text that is not UTF-8.
    """
    tables = tuple(rows)
    if tables:
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
    try:
        for table, source in rows.items():
            connection.execute(f"CREATE OR REPLACE TABLE {SCHEMA}.{table} ({declare_columns(table)})")
            with register_rows(connection, "planned_rows", source) as relation:
                _copy_rows(connection, table, relation)
        yield tables
    finally:
        for table in tables:
            connection.execute(f"DROP TABLE IF EXISTS {SCHEMA}.{table}")


@contextmanager
def register_rows(connection: duckdb.DuckDBPyConnection, name: str, rows: PlannedRows) -> Iterator[str]:
    """Let the block's queries read planned rows; yield the relation, which is called `name` unless `rows` names one."""
    if isinstance(rows, str):
        yield rows
    elif isinstance(rows, PlainRows) and len(rows) <= _MAX_PLAIN_ROWS:
        query, values = rows.build_query()
        connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS {query}", values)
        try:
            yield name
        finally:
            connection.execute(f"DROP TABLE {name}")
    else:
        with register_table(connection, name, make_arrow(rows)):
            yield name


def _copy_rows(connection: duckdb.DuckDBPyConnection, table: str, relation: str) -> None:
    columns = ", ".join(f'"{column}"' for column in ROW_TABLES[table])
    try:
        connection.execute(
            f"INSERT INTO {SCHEMA}.{table} (ordinal, change, {columns}, row_digest) "  # noqa: S608
            f"SELECT row_number() OVER () - 1, change, {columns}, {build_row_digest_sql(table)} "
            f"FROM (SELECT change, {cast_columns(table)} FROM {relation})"
        )
    except (duckdb.DataError, duckdb.ProgrammingError) as error:
        reason = str(error).partition("\n")[0]
        raise UsageError(f"cannot record rows of {table}: {reason}. Correct the input, e.g. its encoding.") from error
