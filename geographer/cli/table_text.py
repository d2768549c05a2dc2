"""Tables as text for people: columns that fit the terminal, numbers on the right, no control characters."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from math import isfinite
from typing import Any, Final, NamedTuple
from unicodedata import combining, east_asian_width

_GAP: Final = 2
_NARROW: Final = 8
"""The number of characters to which a cell may be shortened before its column is left out."""
_NARROW_ID: Final = 24
"""The same for ids, which are shortened last."""
_DATE: Final = 10
_TIME_LENGTHS: Final = (19, 16, _DATE)
"""The lengths to which a time is shortened: to seconds, to minutes, to its date."""
_WIDEST: Final = 64
"""The number of characters of a cell where there is no terminal, except of ids and paths."""
_MINOR_COLUMNS: Final = ("sha256", "pixel_digest", "md5")
"""The columns that are left out first: few read digests."""
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_ESCAPES: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


class TextTable(NamedTuple):
    """The lines of a table, and the columns that did not fit."""

    lines: list[str]
    left_out: list[str]


class _Column(NamedTuple):
    name: str
    values: list[Any]
    cells: list[str]
    is_number: bool

    @property
    def full_width(self) -> int:
        return max(map(measure_text, self.cells))

    @property
    def smallest_width(self) -> int:
        """The width to which cells can be shortened: whole numbers are not."""
        if self.is_number and not any(isinstance(value, float) for value in self.values):
            return self.full_width
        shortest = _NARROW_ID if self.is_id else _DATE if any(map(_is_time, self.values)) else _NARROW
        return min(self.full_width, max(measure_text(self.cells[0]), shortest))

    @property
    def is_id(self) -> bool:
        return self.name.endswith("_id") or self.name in ("id", "object")


def format_table(names: Sequence[str], rows: Iterable[Sequence[Any]], width: int | None = None) -> TextTable:
    """Return a table with a header as lines of at most `width` characters.

    To fit, the widest columns become narrower: texts are shortened to their start and end, numbers are rounded. Columns
    that still do not fit are left out: digests, then the last ones. If `width` is None, there is no terminal: lines are
    as long as they are, and only cells of more than 64 characters are cut, but neither ids nor paths.
    """
    columns, left_out = _make_columns(names, [*rows]), list[str]()
    if width is None:
        columns = [column if column.is_id or column.name == "path" else _cut_column(column) for column in columns]
    else:
        columns, left_out = _choose_columns(columns, width)
        columns = _shrink_columns(columns, width)
    widths = [column.full_width for column in columns]
    lines = [
        "  ".join(
            _pad_cell(column.cells[index], size, to_right=column.is_number)
            for column, size in zip(columns, widths, strict=True)
        ).rstrip()
        for index in range(len(columns[0].cells) if columns else 0)
    ]
    return TextTable(lines, left_out)


def measure_text(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    return sum(0 if combining(letter) else 2 if east_asian_width(letter) in "WF" else 1 for letter in text)


def shorten_text(text: str, width: int) -> str:
    """Return a text that takes at most `width` columns: a sentence keeps its start, a name its start and end."""
    if measure_text(text) <= width:
        return text
    tail = "" if " " in text.strip() or width < _NARROW else _take_letters(text[::-1], (width - 1) // 2)[::-1]
    return f"{_take_letters(text, width - 1 - measure_text(tail)).rstrip()}…{tail}"


def format_cell(value: Any) -> str:
    """Return a value as text on one line."""
    if isinstance(value, bytes):
        return f"({len(value):,} bytes)"
    text = "" if value is None else str(value)
    return text if text.isprintable() else _CONTROL.sub(_escape_letter, text)


def _escape_letter(match: re.Match[str]) -> str:
    letter = match[0]
    return _ESCAPES.get(letter, f"\\x{ord(letter):02x}" if ord(letter) < 256 else f"\\u{ord(letter):04x}")


def _make_columns(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[_Column]:
    columns = zip(*rows, strict=True) if rows else [() for _ in names]
    return [
        _Column(str(name), [*values], [format_cell(str(name)), *map(format_cell, values)], _is_numeric(values))
        for name, values in zip(names, columns, strict=True)
    ]


def _is_numeric(values: Sequence[Any]) -> bool:
    present = [value for value in values if value is not None]
    return bool(present) and all(isinstance(value, int | float) and not isinstance(value, bool) for value in present)


def _choose_columns(columns: list[_Column], width: int) -> tuple[list[_Column], list[str]]:
    """Return the columns that fit at their smallest widths, at least one, and the names of the others."""
    chosen = [*columns]
    while len(chosen) > 1 and sum(column.smallest_width + _GAP for column in chosen) - _GAP > width:
        minor = [column for name in _MINOR_COLUMNS for column in chosen if column.name == name]
        chosen.remove((minor or chosen)[0 if minor else -1])
    return chosen, [column.name for column in columns if column not in chosen]


def _shrink_columns(columns: list[_Column], width: int) -> list[_Column]:
    """Return the columns with cells shortened so that a line has at most `width` characters, if possible."""
    widths, smallest = [column.full_width for column in columns], [column.smallest_width for column in columns]
    excess = sum(widths) + _GAP * (len(widths) - 1) - width
    for _ in range(max(excess, 0)):
        wide = [index for index, size in enumerate(widths) if size > smallest[index]]
        if not wide:
            break
        widths[max(wide, key=lambda index: (not columns[index].is_id, widths[index]))] -= 1
    return [_shrink_column(column, size) for column, size in zip(columns, widths, strict=True)]


def _cut_column(column: _Column) -> _Column:
    cells = [cell if len(cell) <= _WIDEST else f"{cell[: _WIDEST - 1]}…" for cell in column.cells]
    return column._replace(cells=cells)


def _shrink_column(column: _Column, width: int) -> _Column:
    if column.full_width <= width:
        return column
    cells = [
        _shorten_cell(value, cell, width) for value, cell in zip([None, *column.values], column.cells, strict=True)
    ]
    return column._replace(cells=cells)


def _shorten_cell(value: Any, cell: str, width: int) -> str:
    """Return the text of a value with at most `width` characters: a number rounded, a time without seconds."""
    if isinstance(value, float) and isfinite(value) and len(cell) > width:
        rounded = (f"{value:.{digits}g}" for digits in range(15, 0, -1))
        return next((text for text in rounded if len(text) <= width), shorten_text(cell, width))
    if _is_time(value) and _DATE <= width < len(cell):
        return cell[: next(length for length in _TIME_LENGTHS if length <= width)]
    return shorten_text(cell, width)


def _is_time(value: Any) -> bool:
    return isinstance(value, datetime)


def _take_letters(text: str, width: int) -> str:
    """Return the start of a text that takes at most `width` columns."""
    size = 0
    for index, letter in enumerate(text):
        size += measure_text(letter)
        if size > width:
            return text[:index]
    return text


def _pad_cell(cell: str, width: int, *, to_right: bool) -> str:
    padding = " " * (width - measure_text(cell))
    return padding + cell if to_right else cell + padding
