"""A person's SQL, confined: one expression for `--where`, one SELECT for `sql`, and no way out of the dataset."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import duckdb

from geographer.base.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_CHANGING: Final = frozenset(
    {
        *("age", "ago", "currval", "error", "getenv", "getvariable", "gen_random_uuid", "in_search_path"),
        *("nextval", "now", "query", "random", "session_user", "setseed", "sleep_ms", "stats", "today"),
        *(
            "transaction_timestamp",
            "txid_current",
            "user",
            "uuid",
            "uuidv4",
            "uuidv7",
            "version",
            "write_log",
        ),
    }
)
_CHANGING_PREFIXES: Final = ("current_", "get_block", "get_current", "has_", "inet_", "pg_")


def validate_expression(
    connection: duckdb.DuckDBPyConnection, expression: str, columns: Collection[str], option: str = "--where"
) -> str:
    """`expression`, checked to be a single scalar SQL expression over `columns`, ready to stand in a WHERE clause.

    Subqueries, and functions that read the machine, the clock or a random source, are refused: a recorded filter must
    mean the same when it is read again.

    Raises:
        UsageError: it is not one expression, or it reaches out.
        NotFoundError: it names a column that is not there.
    """
    # Without parentheses of ours, so that `true) or (true` is none; within them, so that `true LIMIT 1` is none.
    _where_clause(connection, expression, f"\n{expression}\n", option)
    where = _where_clause(connection, expression, f"(\n{expression}\n)", option)
    _refuse_reaching_out(where, expression, columns, option)
    return f"(\n{expression}\n)"


def _refuse_reaching_out(tree: Any, text: str, columns: Collection[str], option: str) -> None:
    known = {name.lower() for name in columns}
    for node in _nodes(tree):
        if node.get("class") == "SUBQUERY":
            raise UsageError(f"{option} {text!r} holds a subquery: use one expression over the columns")
        if node.get("class") == "PARAMETER":
            raise UsageError(f"{option} {text!r} holds a parameter: write the value itself")
        function = str(node.get("function_name", "")).lower()
        if is_volatile(function):
            raise UsageError(f"{option} {text!r} calls '{function}', whose answer changes: leave it out")
        if node.get("class") == "COLUMN_REF" and node["column_names"][0].lower() not in known:
            names = ", ".join(sorted(columns))
            raise NotFoundError(f"{option} names '{node['column_names'][0]}': the columns are {names}")


def validate_order_by(connection: duckdb.DuckDBPyConnection, order: str, columns: Collection[str]) -> str:
    """`order`, checked to be what can stand in an ORDER BY over `columns`: expressions, each with or without DESC.

    Raises:
        UsageError: it is something else, or it reaches out.
        NotFoundError: it names a column that is not there.
    """
    node = _parsed(connection, order, f"SELECT 1 FROM t ORDER BY (1), {order}\n", "--order-by")  # noqa: S608
    modifiers = node.get("modifiers", [])
    if [modifier["type"] for modifier in modifiers] != ["ORDER_MODIFIER"] or not _is_plain({**node, "modifiers": []}):
        raise UsageError(f"--order-by {order!r} must be SQL expressions over the columns, each with or without DESC")
    _refuse_reaching_out(modifiers, order, columns, "--order-by")
    return order


def is_volatile(function: str) -> bool:
    """Whether the answer of a DuckDB function can be another one tomorrow, or on another machine."""
    return function in _CHANGING or function.startswith(_CHANGING_PREFIXES)


@contextmanager
def translate_sql_errors(expression: str | None, option: str = "--where") -> Iterator[None]:
    """Turns what DuckDB finds wrong with a person's expression, once it meets the columns, into a `UsageError`."""
    try:
        yield
    except (duckdb.DataError, duckdb.ProgrammingError, duckdb.NotSupportedError) as error:
        if expression is None:
            raise
        raise UsageError(f"{option} {expression!r} can't be evaluated: {_first_line(error)}") from error


def validate_select(connection: duckdb.DuckDBPyConnection, query: str) -> str:
    """`query`, checked to be one SELECT; without the semicolon at its end.

    Raises:
        UsageError: it can't be parsed, or it is anything but one SELECT.
    """
    try:
        statements = connection.extract_statements(query)
    except duckdb.Error as error:
        raise UsageError(f"that SQL can't be read: {error}") from error
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise UsageError("geographer sql takes one SELECT: the log is changed by commands only")
    return statements[0].query.strip().rstrip(";")


def _where_clause(
    connection: duckdb.DuckDBPyConnection, expression: str, condition: str, option: str
) -> dict[str, Any]:
    """The syntax tree of `condition`, which must be the whole WHERE clause of one plain SELECT."""
    node = _parsed(connection, expression, f"SELECT 1 FROM t WHERE {condition}", option)  # noqa: S608
    if not _is_plain(node):
        raise UsageError(f"{option} {expression!r} must be one SQL expression over the columns")
    clause: dict[str, Any] = node["where_clause"]
    return clause


def _parsed(connection: duckdb.DuckDBPyConnection, text: str, query: str, option: str) -> dict[str, Any]:
    """The syntax tree of `query`, which a person's `text` is part of; empty if that makes it several statements."""
    row = connection.execute("SELECT json_serialize_sql($query)", {"query": query}).fetchone()
    assert row is not None
    tree = json.loads(row[0])
    if tree["error"]:
        raise UsageError(f"{option} {text!r} is not an SQL expression: {tree['error_message']}")
    statements = tree["statements"]
    node: dict[str, Any] = statements[0]["node"] if len(statements) == 1 else {}
    return node


def _is_plain(node: dict[str, Any]) -> bool:
    return (
        node.get("type") == "SELECT_NODE"
        and not node["modifiers"]
        and not node["cte_map"]["map"]
        and not node["group_expressions"]
        and node["having"] is None
        and node["qualify"] is None
        and node["sample"] is None
        and node["from_table"]["type"] == "BASE_TABLE"
    )


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    if isinstance(tree, dict):
        yield tree
        for value in tree.values():
            yield from _nodes(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from _nodes(value)


def _first_line(error: duckdb.Error) -> str:
    return str(error).partition("\n")[0]
