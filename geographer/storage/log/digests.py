r"""Digests of the log: of a row, of an event's rows, and of the event with its parents. Anyone can recompute them.

A *field* is `<length>:<text>,` with the length in UTF-8 bytes (a netstring), or `-,` for NULL. Integers are decimal,
booleans `true` or `false`, WKB columns the lower-case hex SHA-256 of their bytes. There are no fractions: a transform
is a JSON text.

- `row_digest` = SHA-256 of the row's fields in the order of `ROW_TABLES`: the content of an object's version.
- `rows_digest` of an event = SHA-256 of the lines `<table> <ordinal> <change> <row_digest>\n` of its rows, sorted by
  table name, then by ordinal (the row's index in the event, from 0); for no rows, the SHA-256 of zero bytes.
- `digest` of an event = SHA-256 of the RFC 8785 canonical JSON of the event without `digest`. The event contains
  `rows_digest` and its parents' digests, which makes the log a hash chain.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

import rfc8785

from geographer.storage.log.row_tables import ROW_TABLES, WKB_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Mapping

    import duckdb

EMPTY_ROWS_DIGEST = hashlib.sha256(b"").hexdigest()
"""The `rows_digest` of an event without rows."""

_BLOCK: Final = 4096


def compute_event_digest(fields: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the canonical JSON of an event's hashed fields, in hex."""
    return hashlib.sha256(rfc8785.dumps(dict(fields))).hexdigest()


def build_row_digest_sql(table: str) -> str:
    """Return the SQL expression that computes the digest of a row of `table`."""
    fields = " || ".join(_build_field_sql(column) for column in ROW_TABLES[table])
    return f"sha256({fields})"


def _build_field_sql(column: str) -> str:
    text = f'sha256("{column}")' if column in WKB_COLUMNS else f'"{column}"::VARCHAR'
    return f"coalesce(strlen({text})::VARCHAR || ':' || {text} || ',', '-,')"


def compute_rows_digests(connection: duckdb.DuckDBPyConnection, position: int | None = None) -> dict[int, str]:
    """Return the `rows_digest` of the event at `position`, or of every event that has rows, by position."""
    condition = "" if position is None else "WHERE position = $position"
    lines = " UNION ALL ".join(
        f"SELECT position, {rank} AS rank, ordinal, "  # noqa: S608
        f"'{table} ' || ordinal || ' ' || change || ' ' || row_digest || chr(10) AS line FROM log.{table} {condition}"
        for rank, table in enumerate(sorted(ROW_TABLES))
    )
    # In blocks, DuckDB sorts integers only; hashlib is several times faster than DuckDB's sha256.
    blocks = connection.execute(
        f"SELECT position, string_agg(line, '' ORDER BY ordinal, line) FROM ({lines}) "  # noqa: S608
        f"GROUP BY position, rank, ordinal // {_BLOCK} ORDER BY position, rank, ordinal // {_BLOCK}",
        {} if position is None else {"position": position},
    )
    digests: dict[int, Any] = {}
    while batch := blocks.fetchmany(100):
        for event_position, lines_text in batch:
            digests.setdefault(event_position, hashlib.sha256()).update(lines_text.encode())
    return {event_position: digest.hexdigest() for event_position, digest in digests.items()}
