"""Plain rows: planned rows of a row table as Python lists, so that a small change needs no pyarrow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from geographer.storage.events.row_tables import list_column_types, make_row_table

if TYPE_CHECKING:
    import pyarrow as pa

    PlannedRows = pa.Table | "PlainRows" | str
    """The rows of a change in a row table: an Arrow table, plain rows, or a relation in the database's connection."""


class PlainRows:
    """Rows of a row table, by column; missing columns are null, a missing `change` is 'added'."""

    def __init__(self, table: str, columns: Mapping[str, list[Any]]) -> None:
        self.table, self.columns = table, dict(columns)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    @property
    def num_rows(self) -> int:
        """The number of rows, as that of an Arrow table."""
        return len(self)

    def list_values(self, column: str) -> list[Any]:
        """Return the values of a column."""
        return self.columns.get(column, ["added" if column == "change" else None] * len(self))

    def to_arrow(self) -> pa.Table:
        """Return the rows as an Arrow table."""
        return make_row_table(self.table, self.columns)

    def build_query(self) -> tuple[str, dict[str, list[Any]]]:
        """Return a query for the rows, in the order of the lists, and its parameters."""
        types = {"change": "VARCHAR", **list_column_types(self.table)}
        sources = {"change": "'added'"} | {name: f"unnest($_{name}::{types[name]}[])" for name in self.columns}
        columns = [f'{sources.get(name, f"NULL::{kind}")} AS "{name}"' for name, kind in types.items()]
        return f"SELECT {', '.join(columns)}", {f"_{name}": values for name, values in self.columns.items()}


def make_arrow(rows: pa.Table | PlainRows) -> pa.Table:
    """Return planned rows as an Arrow table."""
    return rows.to_arrow() if isinstance(rows, PlainRows) else rows


def list_values(rows: pa.Table | PlainRows, column: str) -> list[Any]:
    """Return the values of a column of planned rows."""
    return rows.list_values(column) if isinstance(rows, PlainRows) else rows[column].to_pylist()
