"""Empty selections: say that a filter is true for no row, and which values the columns that it names have."""

from __future__ import annotations

import re
from typing import Final

from geographer.base.errors import quote_names
from geographer.base.text import quote_start
from geographer.storage.database.connection import quote_identifier
from geographer.storage.queries.revision import GEOMETRY_COLUMNS, Revision

_MAX_VALUES: Final = 3
_MAX_COLUMNS: Final = 3
_MAX_NAMES: Final = 20


def describe_empty_selection(revision: Revision, table: str, where: str, option: str = "--where") -> str | None:
    """Return that a filter is true for no row of a table, with values to use instead; None if there are no rows."""
    if not revision.fetch_rows(f"SELECT 1 FROM {quote_identifier(table)} LIMIT 1"):  # noqa: S608
        return None
    columns = revision.list_columns(table)
    words = {word.lower() for word in re.findall(r"\w+", re.sub(r"'(?:[^']|'')*'", "", where))}
    named = [name for name in columns if name.lower() in words and name != GEOMETRY_COLUMNS.get(table)]
    texts = [_describe_values(revision, table, name) for name in named[:_MAX_COLUMNS]]
    advice = "; ".join(filter(None, texts)) or f"The columns are {', '.join(columns[:_MAX_NAMES])}"
    return f"{option} {quote_start(where)!r} is true for no {table.removesuffix('s')}. {advice}."


def _describe_values(revision: Revision, table: str, column: str) -> str:
    """Return some values of a column: `class is e.g. 'pond', 'quarry'`."""
    name = quote_identifier(column)
    query = (
        f"SELECT DISTINCT {name}::VARCHAR FROM {quote_identifier(table)} WHERE {name} IS NOT NULL "  # noqa: S608
        f"ORDER BY ALL LIMIT {_MAX_VALUES}"
    )
    values = [quote_start(value) for (value,) in revision.fetch_rows(query)]
    return f"{column} is e.g. {quote_names(values)}" if values else f"{column} has no value"
