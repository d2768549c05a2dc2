"""The chain: the events of the branch in use with their positions, as views of the log's tables.

The table `log.chain` has one chain for each branch, each fetched branch (`origin/main`), and hidden ones, which keep
what a branch had before it followed other events. The session variable 'branch' selects the chain that queries read.
"""

from __future__ import annotations

from typing import Final
from weakref import WeakKeyDictionary, WeakSet

import duckdb

from geographer.storage.database.connection import DEFAULT_BRANCH
from geographer.storage.events.row_tables import MERGE_TABLES, ROW_TABLES, list_column_types

BRANCH: Final = f"coalesce(getvariable('branch'), '{DEFAULT_BRANCH}')"
"""The SQL expression for the branch in use."""

_CHAIN: Final = f"(SELECT position, event_key FROM log.chain WHERE branch = {BRANCH})"  # noqa: S608
CHAIN_EVENT: Final = f"(SELECT position, event.* EXCLUDE (event_key) FROM {_CHAIN} JOIN log.event USING (event_key))"  # noqa: S608
"""The events of the chain, to select from where the views do not exist."""


def build_head_sql(branch: str) -> str:
    """Return the query for position and digest of the last event of a chain; `branch` is an SQL expression.

    To join all events with the chain, and then take the last one, would take ten times as long in a long log.
    """
    last = f"SELECT position, event_key FROM log.chain WHERE branch = {branch} ORDER BY position DESC LIMIT 1"  # noqa: S608
    return f"SELECT position, digest FROM ({last}) JOIN log.event USING (event_key)"  # noqa: S608


_MERGE_TABLES: Final = frozenset(name for name, *_ in MERGE_TABLES)
_WITH_VIEWS: Final[WeakSet[duckdb.DuckDBPyConnection]] = WeakSet()
_SINGLE_VIEWS: Final[WeakKeyDictionary[duckdb.DuckDBPyConnection, set[str]]] = WeakKeyDictionary()
"""The views of a connection that has not got all of them."""


def create_chain_views(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the views `chain_event`, `chain_feature_change` …: the log's tables with `position` for `event_key`.

    DuckDB passes the event keys of selected positions on to the scan of the rows, and skips blocks without them.
    """
    if connection in _WITH_VIEWS:
        return
    connection.execute(f"CREATE OR REPLACE TEMP VIEW chain_event AS FROM {CHAIN_EVENT}")
    for table in list_row_tables(connection):
        connection.execute(f"CREATE OR REPLACE TEMP VIEW chain_{table} AS {build_chain_sql(table)}")
    create_empty_views(connection)
    _WITH_VIEWS.add(connection)


def create_chain_view(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Create one of the views of `create_chain_views`, unless it exists, or the log lacks its table."""
    known = _SINGLE_VIEWS.setdefault(connection, set())
    if connection in _WITH_VIEWS or name in known:
        return
    table = name.removeprefix("chain_")
    if name == "chain_event":
        connection.execute(f"CREATE OR REPLACE TEMP VIEW chain_event AS FROM {CHAIN_EVENT}")
    elif table in list_row_tables(connection):
        connection.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS {build_chain_sql(table)}")
    elif table in _MERGE_TABLES:
        _create_empty_view(connection, table)
    else:
        return
    known.add(name)


def create_empty_views(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the views of the tables that a log gets with its first merge, while it lacks them."""
    for table in _MERGE_TABLES.difference(list_row_tables(connection)):
        _create_empty_view(connection, table)


def _create_empty_view(connection: duckdb.DuckDBPyConnection, table: str) -> None:
    columns = ", ".join(f"NULL::{kind} AS {name}" for name, kind in list_column_types(table).items())
    connection.execute(
        f"CREATE OR REPLACE TEMP VIEW chain_{table} AS "
        f"SELECT NULL::BIGINT AS position, NULL::BIGINT AS ordinal, '' AS change, {columns} LIMIT 0"
    )


def keep_chain_views(connection: duckdb.DuckDBPyConnection, *, chain_event: str) -> None:
    """Let the connection keep its views of the row tables, which have planned rows, too; `chain_event` is a query."""
    connection.execute(f"CREATE OR REPLACE TEMP VIEW chain_event AS {chain_event}")
    _WITH_VIEWS.add(connection)


def forget_chain_views(connection: duckdb.DuckDBPyConnection) -> None:
    """Let the views be created again: the log has got another table."""
    _WITH_VIEWS.discard(connection)
    _SINGLE_VIEWS.pop(connection, None)


def list_row_tables(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Return the row tables that the log has: that of a kind is created before the kind is first recorded."""
    rows = connection.execute("SELECT table_name FROM duckdb_tables() WHERE database_name = 'log'").fetchall()
    return [table for table in ROW_TABLES if (table,) in rows]


def build_chain_sql(table: str) -> str:
    """Return the query for the rows of a row table that events of the chain recorded, with their positions."""
    return f"SELECT position, {table}.* EXCLUDE (event_key) FROM log.{table} JOIN {_CHAIN} USING (event_key)"  # noqa: S608
