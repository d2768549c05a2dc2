"""Digests of the log: of a row, of an event's rows, and of the event with its parents, as docs/log-format.md defines.

The SHA-256 of a row covers its fields in the order of `ROW_TABLES`: `<length>:<text>,` with the length in UTF-8 bytes
(a netstring), or `-,` for NULL; WKB columns count by their SHA-256. That of an event's rows covers the lines
`<table> <ordinal> <change> <row_digest>`, and that of an event, its hashed fields in canonical JSON (RFC 8785).
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final

import duckdb

from geographer.base.canonical_json import canonical_json
from geographer.storage.events.row_tables import ROW_TABLES, WKB_COLUMNS
from geographer.storage.log.chain import list_row_tables

EMPTY_ROWS_DIGEST = hashlib.sha256(b"").hexdigest()
"""The `rows_digest` of an event without rows."""

_BLOCK: Final = 4096


def compute_event_digest(fields: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the canonical JSON of an event's hashed fields, in hex."""
    return hashlib.sha256(canonical_json(dict(fields)).encode()).hexdigest()


def build_row_digest_sql(table: str) -> str:
    """Return the SQL expression that computes the digest of a row of `table`."""
    fields = " || ".join(_build_field_sql(column) for column in ROW_TABLES[table])
    return f"sha256({fields})"


def _build_field_sql(column: str) -> str:
    text = f'sha256("{column}")' if column in WKB_COLUMNS else f'"{column}"::VARCHAR'
    return f"coalesce(strlen({text})::VARCHAR || ':' || {text} || ',', '-,')"


def compute_rows_digests(
    connection: duckdb.DuckDBPyConnection, *, after_key: int | None = None
) -> defaultdict[int, str]:
    """Return the `rows_digest` of every event of the log, or of those whose key is larger, by the key of the event."""
    condition = "" if after_key is None else f" WHERE event_key > {after_key:d}"
    rows = [(table, f"log.{table}{condition}") for table in sorted(list_row_tables(connection))]
    return hash_lines(connection, [build_lines_sql(table, source, "event_key") for table, source in rows])


def compute_pending_digest(connection: duckdb.DuckDBPyConnection, schema: str, tables: Iterable[str]) -> str:
    """Return the `rows_digest` of an event whose rows are in tables of a schema."""
    return hash_lines(connection, [build_lines_sql(table, f"{schema}.{table}", "0") for table in sorted(tables)])[0]


def build_lines_sql(table: str, source: str, event_key: str) -> str:
    """Return the query for the lines that `rows_digest` covers, of the rows of a table in `source`."""
    line = f"'{table} ' || ordinal || ' ' || change || ' ' || row_digest || chr(10)"
    return f"SELECT {event_key} AS event_key, '{table}' AS source, ordinal, {line} AS line FROM {source}"  # noqa: S608


def hash_lines(connection: duckdb.DuckDBPyConnection, lines: list[str]) -> defaultdict[int, str]:
    """Return the `rows_digest` of each event, by its key, from queries for the lines."""
    digests: dict[int, Any] = {}
    if lines:
        # In blocks, DuckDB sorts integers only; hashlib is several times faster than DuckDB's sha256.
        blocks = connection.execute(
            f"SELECT event_key, string_agg(line, '' ORDER BY ordinal, line) FROM ({' UNION ALL '.join(lines)}) "  # noqa: S608
            f"GROUP BY event_key, source, ordinal // {_BLOCK} ORDER BY event_key, source, ordinal // {_BLOCK}"
        )
        while batch := blocks.fetchmany(100):
            for key, lines_text in batch:
                digests.setdefault(key, hashlib.sha256()).update(lines_text.encode())
    return defaultdict(lambda: EMPTY_ROWS_DIGEST, {key: digest.hexdigest() for key, digest in digests.items()})
