"""Rewind the state: bring it back to the last event that its chain shares with the branch in use."""

from __future__ import annotations

from typing import Final

import duckdb

from geographer.storage.database.connection import quote_identifier
from geographer.storage.log.chain import CHAIN_EVENT
from geographer.storage.state.digest import OPEN_END, compute_state_digest

_COMMON: Final = (
    f"SELECT position, digest FROM state.event JOIN {CHAIN_EVENT} USING (position, digest) "  # noqa: S608
    "ORDER BY position DESC LIMIT 1"
)
_TABLES: Final = (
    "SELECT table_name, bool_or(column_name = 'valid_to') FROM duckdb_columns() "
    "WHERE database_name = 'state' AND table_name <> 'meta' GROUP BY table_name ORDER BY table_name"
)


def is_of_other_chain(connection: duckdb.DuckDBPyConnection, sql_digest: str) -> bool:
    """Return whether the state, which the SQL with that digest derived, is at an event of the log on another chain."""
    query = (
        "SELECT 1 FROM state.meta JOIN log.event AS event ON event.digest = head_digest "  # noqa: S608
        f"WHERE sql_digest = $sql_digest AND head_digest NOT IN (SELECT digest FROM {CHAIN_EVENT})"
    )
    return connection.execute(query, {"sql_digest": sql_digest}).fetchone() is not None


def rewind_state(connection: duckdb.DuckDBPyConnection) -> None:
    """Bring the state back to the last event that it shares with the chain, at the cost of what came after it.

    Versions that began later are deleted, and ends that came later are removed. The digest of the state loses what
    later updates had added, so it still shows whether the state was altered.
    """
    ((last, digest),) = connection.execute("SELECT position, state_digest FROM state.meta").fetchall()
    position, head_digest = connection.execute(_COMMON).fetchone() or (0, "")
    digest -= compute_state_digest(connection, position, last)
    for table, has_versions in connection.execute(_TABLES).fetchall():
        name = f"state.{quote_identifier(table)}"
        start = "valid_from" if has_versions else "position"
        connection.execute(f"DELETE FROM {name} WHERE {start} > $position", {"position": position})  # noqa: S608
        if has_versions:
            ended = f"valid_to > $position AND valid_to < {OPEN_END}"
            connection.execute(f"UPDATE {name} SET valid_to = {OPEN_END} WHERE {ended}", {"position": position})  # noqa: S608
    values = {"position": position, "head": head_digest, "digest": str(digest)}
    connection.execute(
        "UPDATE state.meta SET position = $position, head_digest = $head, state_digest = $digest::HUGEINT", values
    )
