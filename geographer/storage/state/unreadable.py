"""Unreadable rows: rows of the log that cannot be read, derived or written to disk, and what is wrong with them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Final

import duckdb

from geographer.base.errors import UsageError
from geographer.storage.database.connection import escape_literal, run_script
from geographer.storage.events.row_tables import KEY_COLUMNS, make_json_path

_FOLDER: Final = Path(__file__).with_name("problems")
_END_ROWS: Final = _FOLDER / "end_rows.sql"
_SUBJECTS: Final = {"feature_change": "feature", "raster_change": "raster"}
"""The subjects of the user columns in the `properties` of a table."""


def find_unreadable_rows(
    connection: duckdb.DuckDBPyConnection, tables: Iterable[str], positions: Mapping[str, int]
) -> bool:
    """Add the rows of the new events that cannot be used to `state.unreadable_row`; return whether there are any.

    Rows of older events whose objects a new one changes end there.
    """
    scripts = [(table, path) for table in tables if (path := _FOLDER / f"{table}.sql").exists()]
    for table, path in scripts:
        _run_template(connection, path, table, positions)
    query = "SELECT count(*), count(*) FILTER (position > $after) FROM state.unreadable_row"
    ((count, new_count),) = connection.execute(query, {"after": positions["after"]}).fetchall()
    if count:
        for table in tables:
            _run_template(connection, _END_ROWS, table, positions)
    return bool(new_count)


def _run_template(connection: duckdb.DuckDBPyConnection, path: Path, table: str, positions: Mapping[str, int]) -> None:
    casts = _build_cast_sql(connection, _SUBJECTS[table]) if table in _SUBJECTS else ""
    names = {"table": table, "object": build_object_sql(table), "casts": casts}
    run_script(connection, path.read_text().format(**names), positions)


def build_object_sql(table: str) -> str:
    """Return the SQL expression for the key of a row's object, as one text; it is null if a part of the key is."""
    return " || '/' || ".join(KEY_COLUMNS[table])


def end_unnamed_rows(connection: duckdb.DuckDBPyConnection, positions: Iterable[int]) -> None:
    """End the unreadable rows without an id at the first of these positions after them."""
    query = "UPDATE state.unreadable_row SET valid_to = $at WHERE object IS NULL AND position < $at AND valid_to > $at"
    for position in positions:
        connection.execute(query, {"at": position})


def reject_unreadable_rows(connection: duckdb.DuckDBPyConnection, position: int) -> None:
    """Raise `UsageError` if rows of the pending event at `position` cannot be used."""
    query = (
        "SELECT table_name, object, problem, count(*) OVER () FROM state.unreadable_row WHERE position = $position "
        "ORDER BY ordinal LIMIT 1"
    )
    for table, name, problem, count in connection.execute(query, {"position": position}).fetchall():
        others = f" {count - 1:,} more rows cannot be recorded either." if count > 1 else ""
        subject = table.removesuffix("_change").replace("_", " ")
        raise UsageError(f"cannot record {subject} '{name or ''}': {problem}. Correct the input.{others}")


def _build_cast_sql(connection: duckdb.DuckDBPyConnection, subject: str) -> str:
    """Return SQL that is true if a property of a row does not have the type that the row's event declares."""
    query = (
        "SELECT DISTINCT name, type FROM user_column_fact WHERE subject = $subject AND type <> 'VARCHAR' ORDER BY ALL"
    )
    terms = []
    for name, kind in connection.execute(query, {"subject": subject}).fetchall():
        value = f"properties->>'{escape_literal(make_json_path(name))}'"
        events = (
            f"SELECT position FROM user_column_fact WHERE subject = '{subject}' "  # noqa: S608
            f"AND name = '{escape_literal(name)}' AND type = '{kind}'"
        )
        terms.append(f"(({value}) IS NOT NULL AND TRY_CAST({value} AS {kind}) IS NULL AND position IN ({events}))")
    return " OR ".join(terms) or "false"


@cache
def read_needs(step: Path) -> frozenset[str]:
    """Return the tables that a step reads, from the header of its SQL."""
    needs = step.read_text().partition("needs: ")[2].partition(" · makes:")[0]
    return frozenset(re.findall(r"[\w.]+", needs))
