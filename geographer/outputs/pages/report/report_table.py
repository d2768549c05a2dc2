"""Report tables: a caption, columns and rows of text, bounded, as the template draws them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal, NamedTuple

from geographer.base.text import format_count, quote_start

ColumnKind = Literal["text", "number", "code", "short"]

MAX_ROWS: Final = 200
"""How many rows a table shows, unless it says otherwise."""
_MAX_LETTERS: Final = 1_000


class Column(NamedTuple):
    """A column: its title, and how its cells are set: `short` ones are not broken into lines."""

    title: str
    kind: ColumnKind = "text"


class ReportTable(NamedTuple):
    """A table.

    Attributes:
        caption: What it shows.
        columns: Its columns; the cells of the first one name their rows.
        rows: The cells as text.
        note: What it leaves out; empty if that is nothing.
    """

    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    note: str = ""


def make_table(
    caption: str, columns: Sequence[Column], rows: Iterable[Sequence[Any]], advice: str = "", limit: int = MAX_ROWS
) -> ReportTable:
    """Return a table of the first rows; `advice` says where the others are, such as a command."""
    cells = [[format_cell(value) for value in row] for row in rows]
    rest = len(cells) - limit
    note = f"{format_count(rest, 'more row')} not shown here{f': {advice}' if advice else ''}." if rest > 0 else ""
    return ReportTable(caption, columns, cells[:limit], note)


def format_cell(value: Any) -> str:
    """Return a value as the text of a cell: numbers with separators, nothing for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return quote_start(str(value), _MAX_LETTERS)
