"""HTML of the objects that methods return, for notebooks: tables of text, all of which is escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

Item = TypeVar("Item")
Key = TypeVar("Key")

SHOWN_ROWS: Final = 10
"""The number of rows of a table that are shown."""
_SHOWN_ITEMS: Final = 20
_SHOWN_LETTERS: Final = 200
_CELL_LETTERS: Final = 60


class DisplayedList(list[Item]):
    """A list that notebooks show as a table: of dictionaries or named tuples, a row for each."""

    def _repr_html_(self) -> str:
        return render_list(self)


class DisplayedDict(dict[Key, Item]):
    """A dictionary that notebooks show as a table with a row for each entry."""

    def _repr_html_(self) -> str:
        return render_fields("", self)


def render_object(value: Any) -> str:
    """Return a named tuple, or an object with `to_dict()`, as a table of its fields below the name of its class."""
    return render_fields(type(value).__name__, _list_fields(value))


def render_fields(title: str, fields: Mapping[Any, Any]) -> str:
    """Return names and values as a table of two columns."""
    caption = f"<caption>{html.escape(title)}</caption>" if title else ""
    rows = "".join(
        f"<tr><th>{html.escape(str(name))}</th><td>{render_value(value)}</td></tr>" for name, value in fields.items()
    )
    return f"<table>{caption}<tbody>{rows}</tbody></table>"


def render_rows(columns: Sequence[str], rows: Iterable[Iterable[Any]], count: int) -> str:
    """Return the first of `count` rows as a table under the names of their columns, and their number."""
    head = "".join(f"<th>{html.escape(name)}</th>" for name in columns)
    shown = [row for row, _ in zip(rows, range(SHOWN_ROWS), strict=False)]
    body = "".join(
        f"<tr>{''.join(f'<td>{_render_text(value, _CELL_LETTERS)}</td>' for value in row)}</tr>" for row in shown
    )
    number = f"{count:,} row{'' if count == 1 else 's'}"
    note = f"{number}, of which {len(shown)} are shown" if count > len(shown) else number
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table><p>{note}</p>"


def render_list(items: Sequence[Any]) -> str:
    """Return a list as a table, if all items have the same fields, or else as a list."""
    records = [_list_fields(item) for item in items[:SHOWN_ROWS] if _has_fields(item)]
    if items and len(records) == len(items[:SHOWN_ROWS]):
        columns = [*dict.fromkeys(str(name) for record in records for name in record)]
        return render_rows(columns, ([record.get(name) for name in columns] for record in records), len(items))
    if not items:
        return "<p>none</p>"
    return f"<ul>{''.join(f'<li>{render_value(item)}</li>' for item in _shorten_list(items))}</ul>"


def render_value(value: Any) -> str:
    """Return a value as HTML: fields and records as tables, other values as text."""
    if isinstance(value, Mapping) or _has_fields(value):
        return render_fields("", _list_fields(value)) if _list_fields(value) else ""
    if hasattr(value, "column_names") and hasattr(value, "to_pylist"):
        return render_list(value.slice(0, SHOWN_ROWS).to_pylist())
    if isinstance(value, list | tuple) and value:
        if any(_has_fields(item) for item in value):
            return render_list(value)
        return "<br>".join(_render_text(item, _SHOWN_LETTERS) for item in _shorten_list(value))
    return "" if isinstance(value, list | tuple) else _render_text(value, _SHOWN_LETTERS)


def _has_fields(value: Any) -> bool:
    return isinstance(value, Mapping) or hasattr(value, "to_dict") or hasattr(value, "_asdict")


def _list_fields(value: Any) -> Mapping[Any, Any]:
    if isinstance(value, Mapping):
        return value
    fields: Mapping[Any, Any] = value.to_dict() if hasattr(value, "to_dict") else value._asdict()
    return fields


def _shorten_list(items: Sequence[Any]) -> list[Any]:
    rest = len(items) - _SHOWN_ITEMS
    return [*items[:_SHOWN_ITEMS], *([f"and {rest:,} more"] if rest > 0 else [])]


def _render_text(value: Any, length: int) -> str:
    text = f"({len(value):,} bytes)" if isinstance(value, bytes) else "" if value is None else str(value)
    return html.escape(text if len(text) <= length else f"{text[: length - 1]}…")
