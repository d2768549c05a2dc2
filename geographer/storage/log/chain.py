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
    for table in ROW_TABLES:
        rows = f"SELECT position, * EXCLUDE (position, event_key) FROM log.{table} JOIN {_CHAIN} USING (event_key)"  # noqa: S608
        connection.execute(f"CREATE OR REPLACE TEMP VIEW chain_{table} AS {rows}")
    _WITH_VIEWS.add(connection)
