r"""How the log is hashed: rows, then an event's rows, then the event with its parents. Meant to be repeated elsewhere.

A *field* is `<length>:<text>,` with the length in UTF-8 bytes (a netstring), or `-,` for NULL. Whole numbers are
decimal, booleans `true` or `false`, WKB columns the lower-case hex SHA-256 of their bytes; fractions never occur
(a transform is a JSON text).

- `row_digest` = SHA-256 of the row's fields, in the order of `log.tables.TABLES`: the content of an object's version.
- `rows_digest` of an event = SHA-256 of the lines `<table> <ordinal> <change> <row_digest>\n` of its rows, sorted by
  the table's name, then by ordinal (a row's place in the event, from 0); without rows, the SHA-256 of nothing.
- `digest` of an event = SHA-256 of the RFC 8785 canonical JSON of the event without `digest`; it holds `rows_digest`
  and the digests of its parents, which makes the chain.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

import rfc8785

from geographer.storage.log.row_tables import BLOBS, TABLES

if TYPE_CHECKING:
    from collections.abc import Mapping

    import duckdb

EMPTY = hashlib.sha256(b"").hexdigest()
"""The digest of no rows."""

_BLOCK: Final = 4096


def event_digest(fact: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical JSON of an event, in hex."""
    return hashlib.sha256(rfc8785.dumps(dict(fact))).hexdigest()


def row_digest_sql(table: str) -> str:
    """The SQL expression of a row's digest over the columns of `table`."""
    fields = " || ".join(_field_sql(column) for column in TABLES[table])
    return f"sha256({fields})"


def _field_sql(column: str) -> str:
    text = f'sha256("{column}")' if column in BLOBS else f'"{column}"::VARCHAR'
    return f"coalesce(strlen({text})::VARCHAR || ':' || {text} || ',', '-,')"


def rows_digests(connection: duckdb.DuckDBPyConnection, position: int | None = None) -> dict[int, str]:
    """The digest of the rows of the event at `position`, or of every event that has rows, by position."""
    chosen = "" if position is None else "WHERE position = $position"
    lines = " UNION ALL ".join(
        f"SELECT position, {rank} AS rank, ordinal, "  # noqa: S608
        f"'{table} ' || ordinal || ' ' || change || ' ' || row_digest || chr(10) AS line FROM log.{table} {chosen}"
        for rank, table in enumerate(sorted(TABLES))
    )
    # Joined a block at a time: that sorts whole numbers only, and hashlib is some times faster than SQL's sha256.
    blocks = connection.execute(
        f"SELECT position, string_agg(line, '' ORDER BY ordinal, line) FROM ({lines}) "  # noqa: S608
        f"GROUP BY position, rank, ordinal // {_BLOCK} ORDER BY position, rank, ordinal // {_BLOCK}",
        {} if position is None else {"position": position},
    )
    digests: dict[int, Any] = {}
    while found := blocks.fetchmany(100):
        for event, text in found:
            digests.setdefault(event, hashlib.sha256()).update(text.encode())
    return {event: digest.hexdigest() for event, digest in digests.items()}
