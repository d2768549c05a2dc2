"""The digest of the state: a sum over its rows, so that an update adds only what it changed."""

from __future__ import annotations

from typing import Final

import duckdb

from geographer.storage.database.connection import escape_literal, quote_identifier

OPEN_END: Final = 2**63 - 1
"""The `valid_to` of a version that is still valid; see `macros.sql`."""
_TABLES: Final = (
    "SELECT table_name, bool_or(column_name = 'valid_to'), "
    "max(column_name) FILTER (column_name = table_name || '_key') FROM duckdb_columns() "
    "WHERE database_name = 'state' AND table_name <> 'meta' GROUP BY table_name ORDER BY table_name"
)


def compute_state_digest(connection: duckdb.DuckDBPyConnection, after: int = 0, up_to: int | None = None) -> int:
    """Return the sum of the hashes of all rows that began, and of all ends of versions, after a position.

    A row is hashed without `valid_to`, and again with it when its version ends, then by its key alone if it has one:
    versions that end are scattered over the whole table. So the digest of the whole state is the sum of those of its
    updates. Without `up_to`, it is that of all rows, those at impossible positions included. A
    table without versions has the column `position`.
    """
    terms = []
    for table, has_versions, key in connection.execute(_TABLES).fetchall():
        start = "valid_from" if has_versions else "position"
        columns = "*COLUMNS(* EXCLUDE (valid_to))" if has_versions else "*COLUMNS(*)"
        in_range = f"{{}} > {int(after)} AND {{}} <= {int(up_to or 0)}"
        terms.append(_sum_hashes(table, columns, "true" if up_to is None else in_range.format(start, start)))
        if has_versions:
            has_ended = f"valid_to IS DISTINCT FROM {OPEN_END}"
            condition = has_ended if up_to is None else in_range.format("valid_to", "valid_to")
            ended = f"{key}, valid_from, valid_to" if key else "*COLUMNS(*)"
            terms.append(_sum_hashes(table, ended, condition))
    row = connection.execute(f"SELECT {' + '.join(terms)}").fetchone()
    assert row is not None
    return int(row[0])


def _sum_hashes(table: str, columns: str, condition: str) -> str:
    name, source = f"'{escape_literal(table)}'", f"state.{quote_identifier(table)}"
    return f"coalesce((SELECT sum(hash({name}, {columns})) FROM {source} WHERE {condition}), 0)"  # noqa: S608
