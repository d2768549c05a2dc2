"""Edit every table and column of log and state: `verify` finds each edit, or it is harmless; a forgery, with --expect."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import duckdb

from tests.reliability.flips import VERIFY, ask_intact, judge_damage
from tests.reliability.forging import edit_database, edit_table, recompute_log
from tests.reliability.oracles import LOG, STATE, read_history
from tests.reliability.stage import Fault, Stage, Try


class Edit(NamedTuple):
    """One edit of a database file.

    Attributes:
        action: Of a column, `change` a value or `empty` it (NULL). Of a table, `delete` a row, `repeat` it, or `insert` a
            row that differs from it in the column.
        is_forged: All digests of the log are recomputed.
    """

    file: Path
    action: str
    table: str
    column: str
    type: str
    is_forged: bool

    def __str__(self) -> str:
        forged = ", digests recomputed" if self.is_forged else ""
        return f"{self.action} {self.file.stem}.{self.table}.{self.column}{forged}"


_OTHER_VALUES: Final = {
    "VARCHAR": "coalesce({0}, '') || 'x'",
    "BOOLEAN": "NOT coalesce({0}, false)",
    "BLOB": r"'\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x24\x40\x00\x00\x00\x00\x00\x00\x24\x40'::BLOB",
    "VARCHAR[]": "list_append(coalesce({0}, []), repeat('0', 64))",
    "GEOMETRY": "ST_Point(10, 10)",
    "TIMESTAMP": "coalesce({0}, TIMESTAMP '2020-01-01') + INTERVAL 1 DAY",
    "DOUBLE[]": "[1.5]",
    "DOUBLE[][]": "[[1.5, 2.5]]",
}
"""An expression for another valid value, by type."""
_OTHER_NUMBER: Final = "CASE WHEN {0} < 1000000 THEN {0} + 1 ELSE 5 END"


def list_cases(stage: Stage) -> list[Edit]:
    """List every edit of every table that has rows, and of each of its columns."""
    edits = []
    query = (
        "SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE database_name = 'edited' ORDER BY ALL"
    )
    for file in (LOG, STATE):
        with edit_database(stage.example.root / file, read_only=True) as connection:
            rows = connection.execute(query).fetchall()
            counts = {name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchall()[0][0] for name, *_ in rows}
        columns = [row for row in rows if counts[row[0]]]
        one_of_each = {row[0]: row for row in sorted(columns, key=lambda row: row[2] == "VARCHAR")}.values()
        for is_forged in (False, True) if file == LOG else (False,):
            pairs: list[tuple[tuple[str, str, str], tuple[str, ...]]] = [
                (row, ("delete", "repeat", "insert")) for row in one_of_each
            ]
            pairs += [(row, ("change", "empty")) for row in columns]
            for (table, column, data_type), actions in pairs:
                edits += [Edit(file, action, table, column, data_type, is_forged) for action in actions]
    return edits


def attack_case(stage: Stage, one: Try, edit: Edit) -> Iterator[Fault]:
    """Make one edit of one row."""
    root = one.copy_dataset(stage.example.root)
    with edit_database(root / edit.file) as connection:
        ((count,),) = connection.execute(f'SELECT count(*) FROM "{edit.table}"').fetchall()
        edit_row(connection, edit, one.random.randrange(count))
        if edit.is_forged:
            recompute_log(connection)
    digest = read_history(stage.example.root).digests[-1]
    verify = ("verify", "--expect", digest) if edit.is_forged else VERIFY
    yield from judge_damage(one, root, ask_intact(stage), verify)


def edit_row(connection: duckdb.DuckDBPyConnection, edit: Edit, row: int) -> None:
    """Make an edit of the row with this number."""
    chosen = f'rowid = (SELECT rowid FROM "{edit.table}" ORDER BY rowid LIMIT 1 OFFSET {row})'
    column = f'"{edit.column}"'
    value = _OTHER_VALUES.get(edit.type.partition("(")[0], _OTHER_NUMBER).format(column)
    statements = {
        "delete": f'DELETE FROM "{edit.table}" WHERE {chosen}',
        "repeat": f'INSERT INTO "{edit.table}" FROM "{edit.table}" WHERE {chosen}',
        "insert": f'INSERT INTO "{edit.table}" SELECT * REPLACE ({value} AS {column}) FROM "{edit.table}" WHERE {chosen}',
        "change": f'UPDATE "{edit.table}" SET {column} = {value} WHERE {chosen}',
        "empty": f'UPDATE "{edit.table}" SET {column} = NULL WHERE {chosen}',
    }
    edit_table(connection, edit.table, statements[edit.action])
