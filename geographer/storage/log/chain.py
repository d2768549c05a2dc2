"""The chain: the events of one branch with their positions, as views of the log's tables."""

from __future__ import annotations

from typing import Final
from weakref import WeakSet

import duckdb

from geographer.storage.events.row_tables import ROW_TABLES

BRANCH: Final = "main"
"""The only branch so far."""

_CHAIN: Final = f"(SELECT position, event_key FROM log.chain WHERE branch = '{BRANCH}')"  # noqa: S608
CHAIN_EVENT: Final = f"(SELECT position, event.* EXCLUDE (event_key) FROM {_CHAIN} JOIN log.event USING (event_key))"  # noqa: S608
"""The events of the chain, to select from where the views do not exist."""

_WITH_VIEWS: Final[WeakSet[duckdb.DuckDBPyConnection]] = WeakSet()


def create_chain_views(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the views `chain_event`, `chain_feature_change` …: the log's tables with `position` for `event_key`.

    DuckDB passes the event keys of selected positions on to the scan of the rows, and skips blocks without them.
    """
    if connection in _WITH_VIEWS:
        return
    connection.execute(f"CREATE OR REPLACE TEMP VIEW chain_event AS FROM {CHAIN_EVENT}")
    for table in list_row_tables(connection):
        connection.execute(f"CREATE OR REPLACE TEMP VIEW chain_{table} AS {build_chain_sql(table)}")
    _WITH_VIEWS.add(connection)


def forget_chain_views(connection: duckdb.DuckDBPyConnection) -> None:
    """Let the views be created again: the log has got another table."""
    _WITH_VIEWS.discard(connection)


def list_row_tables(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Return the row tables that the log has: that of a kind is created before the kind is first recorded."""
    rows = connection.execute("SELECT table_name FROM duckdb_tables() WHERE database_name = 'log'").fetchall()
    return [table for table in ROW_TABLES if (table,) in rows]


def build_chain_sql(table: str) -> str:
    """Return the query for the rows of a row table that events of the chain recorded, with their positions."""
    return f"SELECT position, {table}.* EXCLUDE (event_key) FROM log.{table} JOIN {_CHAIN} USING (event_key)"  # noqa: S608
