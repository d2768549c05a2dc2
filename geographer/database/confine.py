"""A person's SQL, confined: one expression for `--where`, one SELECT for `geographer sql`, and no way out of the dataset."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import duckdb

from geographer.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_FORBIDDEN_FUNCTIONS: Final = frozenset(
    {"getenv", "write_log", "nextval", "currval", "setseed", "random", "uuid", "gen_random_uuid", "now", "today"}
    | {"current_date", "current_timestamp", "get_current_timestamp", "current_setting", "getvariable", "error"}
)


def confined_expression(connection: duckdb.DuckDBPyConnection, expression: str, columns: Collection[str]) -> str:
    """`expression`, checked to be a single scalar SQL expression over `columns`, ready to stand in `WHERE (…)`.

    Subqueries, and functions that read the machine, the clock or a random source, are refused: a recorded filter must
    mean the same when it is read again.

    Raises:
        UsageError: it is not one expression, or it reaches out.
        NotFoundError: it names a column that is not there.
    """
    text = f"SELECT 1 FROM t WHERE (\n{expression}\n)"
    tree = json.loads(_serialised(connection, text))
    if tree["error"]:
        raise UsageError(f"--where {expression!r} is not an SQL expression: {tree['error_message']}")
    where = _only_where(tree, expression)
    known = {name.lower() for name in columns}
    for node in _nodes(where):
        if node.get("class") == "SUBQUERY":
            raise UsageError(f"--where {expression!r} holds a subquery: use one expression over the columns")
        if node.get("class") == "PARAMETER":
            raise UsageError(f"--where {expression!r} holds a parameter: write the value itself")
        function = str(node.get("function_name", "")).lower()
        if function in _FORBIDDEN_FUNCTIONS:
            raise UsageError(f"--where {expression!r} calls '{function}', whose answer changes: leave it out")
        if node.get("class") == "COLUMN_REF" and node["column_names"][0].lower() not in known:
            names = ", ".join(sorted(columns))
            raise NotFoundError(f"--where names '{node['column_names'][0]}': the columns are {names}")
    return f"(\n{expression}\n)"


def checked_query(connection: duckdb.DuckDBPyConnection, query: str) -> str:
    """`query`, checked to be one SELECT.

    Raises:
        UsageError: it can't be parsed, or it is anything but one SELECT.
    """
    try:
        statements = connection.extract_statements(query)
    except duckdb.Error as error:
        raise UsageError(f"that SQL can't be read: {error}") from error
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise UsageError("geographer sql takes one SELECT: the log is changed by commands only")
    return query


def _serialised(connection: duckdb.DuckDBPyConnection, text: str) -> str:
    row = connection.execute("SELECT json_serialize_sql($text)", {"text": text}).fetchone()
    assert row is not None
    return str(row[0])


def _only_where(tree: dict[str, Any], expression: str) -> dict[str, Any]:
    """The WHERE clause of the one plain SELECT that `tree` must be."""
    statements = tree["statements"]
    node = statements[0]["node"] if len(statements) == 1 else {}
    plain = (
        node.get("type") == "SELECT_NODE"
        and not node["modifiers"]
        and not node["cte_map"]["map"]
        and not node["group_expressions"]
        and node["having"] is None
        and node["qualify"] is None
        and node["sample"] is None
        and node["from_table"]["type"] == "BASE_TABLE"
    )
    if not plain:
        raise UsageError(f"--where {expression!r} must be one SQL expression over the columns")
    clause: dict[str, Any] = node["where_clause"]
    return clause


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401
    if isinstance(tree, dict):
        yield tree
        for value in tree.values():
            yield from _nodes(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from _nodes(value)
