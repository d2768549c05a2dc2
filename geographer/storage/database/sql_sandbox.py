"""Validate user SQL: one expression for `--where`, one SELECT for `sql`; neither reaches anything but the dataset."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any, Final

import duckdb

from geographer.base.errors import NotFoundError, UsageError, quote_names
from geographer.base.text import is_unicode, quote_start

_VOLATILE_FUNCTIONS: Final = frozenset(
    {
        *("age", "ago", "currval", "error", "getenv", "getvariable", "gen_random_uuid", "in_search_path"),
        *("nextval", "now", "query", "random", "session_user", "setseed", "sleep_ms", "stats", "today"),
        *("transaction_timestamp", "txid_current", "user", "uuid", "uuidv4", "uuidv7", "version", "write_log"),
    }
)
_TABLE_FUNCTIONS: Final = frozenset(
    {
        *("range", "generate_series", "unnest", "repeat", "repeat_row", "json_each", "json_tree", "histogram"),
        *("histogram_values", "duckdb_columns", "duckdb_functions", "duckdb_types", "pragma_table_info"),
    }
)
"""The table functions that users may call; others read files or memory, change settings, or end the process."""
_TABLE_FUNCTION: Final = re.compile(r'"type":"TABLE_FUNCTION".*?"function_name":"((?:\\.|[^"\\])*)"', re.DOTALL)
_VOLATILE_PREFIXES: Final = ("current_", "get_block", "get_current", "has_", "inet_", "pg_")


def validate_expression(
    connection: duckdb.DuckDBPyConnection, expression: str, columns: Collection[str], option: str = "--where"
) -> str:
    """Check that `expression` is one scalar SQL expression over `columns`, and return it in parentheses.

    A recorded filter must mean the same whenever it is evaluated: subqueries and volatile functions are rejected.

    Raises:
        UsageError: it is not one expression, or it has a subquery, a parameter or a volatile function.
        NotFoundError: an unknown column.
    """
    # Parsed without parentheses to reject `true) or (true`, and with them to reject `true LIMIT 1`.
    _parse_where(connection, expression, f"\n{expression}\n", option)
    where = _parse_where(connection, expression, f"(\n{expression}\n)", option)
    _reject_unsafe_nodes(where, expression, columns, option)
    return f"(\n{expression}\n)"


def _reject_unsafe_nodes(tree: Any, text: str, columns: Collection[str], option: str) -> None:
    known_columns = {name.lower() for name in columns}
    for node in _iter_nodes(tree):
        if node.get("class") == "SUBQUERY":
            raise UsageError(f"{option} {quote_start(text)!r} has a subquery. Use one expression over the columns.")
        if node.get("class") == "PARAMETER":
            raise UsageError(f"{option} {quote_start(text)!r} has a parameter. Write the value instead.")
        function = str(node.get("function_name", "")).lower()
        if is_volatile(function):
            raise UsageError(
                f"{option} {quote_start(text)!r} calls '{function}', whose result varies between runs. Remove it."
            )
        if node.get("class") == "COLUMN_REF" and node["column_names"][0].lower() not in known_columns:
            names, unknown = ", ".join(sorted(columns)), hide_credentials(text, quote_start(node["column_names"][0]))
            raise NotFoundError(f"{option}: no column '{unknown}'. The columns are {names}.")


def validate_order_by(connection: duckdb.DuckDBPyConnection, order: str, columns: Collection[str]) -> str:
    """Check that `order` is a list of ORDER BY expressions over `columns`, each with or without DESC; return it.

    Raises:
        UsageError: it is not, or it has a subquery, a parameter or a volatile function.
        NotFoundError: an unknown column.
    """
    node = _parse_query(connection, order, f"SELECT 1 FROM t ORDER BY (1), {order}\n", "--order-by")  # noqa: S608
    modifiers = node.get("modifiers", [])
    is_simple = _is_simple_select({**node, "modifiers": []})
    if [modifier["type"] for modifier in modifiers] != ["ORDER_MODIFIER"] or not is_simple:
        raise UsageError(
            f"--order-by {quote_start(order)!r} is not a list of SQL expressions over the columns, each with or "
            "without DESC."
        )
    _reject_unsafe_nodes(modifiers, order, columns, "--order-by")
    return order


def is_volatile(function: str) -> bool:
    """Return whether the result of a DuckDB function can differ between runs or machines."""
    return function in _VOLATILE_FUNCTIONS or function.startswith(_VOLATILE_PREFIXES)


@contextmanager
def translate_sql_errors(expression: str | None, option: str = "--where") -> Iterator[None]:
    """Raise an error that DuckDB reports when it evaluates a user's expression as a `UsageError`."""
    try:
        yield
    except (duckdb.DataError, duckdb.ProgrammingError, duckdb.NotSupportedError) as error:
        if expression is None:
            raise
        first_line = hide_credentials(expression, str(error).partition("\n")[0])
        raise UsageError(f"cannot evaluate {option} {quote_start(expression)!r}: {first_line}") from error


def hide_credentials(sql: str, detail: str) -> str:
    """Return a detail of an error about a user's SQL, unless it may quote a part of a credential there."""
    from geographer.base.redaction import has_credentials

    return "(not shown, because the SQL holds a credential)" if has_credentials(sql) else detail


def validate_select(connection: duckdb.DuckDBPyConnection, query: str) -> str:
    """Return `query` without a final semicolon; `UsageError` unless it is one SELECT that reads only the tables."""
    if not isinstance(query, str) or not is_unicode(query):
        raise UsageError(f"invalid SQL {query!r}. Use one SELECT, as text in UTF-8.")
    try:
        statements = connection.extract_statements(query)
    except duckdb.Error as error:
        raise UsageError(f"cannot parse the SQL: {hide_credentials(query, str(error))}") from error
    tree = _serialize_query(connection, query)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT or '"error":true' in tree[:99]:
        raise UsageError("geographer sql takes one SELECT. Use the other commands to change the dataset.")
    functions = {name.lower() for name in _TABLE_FUNCTION.findall(tree)}
    if forbidden := sorted(functions - _TABLE_FUNCTIONS):
        raise UsageError(
            f"geographer sql cannot call the table function {quote_names(forbidden)}: it reads only the tables of the "
            f"dataset. The functions that it can call are {', '.join(sorted(_TABLE_FUNCTIONS))}."
        )
    return statements[0].query.strip().rstrip(";")


def _parse_where(connection: duckdb.DuckDBPyConnection, expression: str, condition: str, option: str) -> dict[str, Any]:
    """Return the syntax tree of `condition`, which must be a whole WHERE clause."""
    node = _parse_query(connection, expression, f"SELECT 1 FROM t WHERE {condition}", option)  # noqa: S608
    if not _is_simple_select(node):
        raise UsageError(f"{option} {quote_start(expression)!r} is not one SQL expression over the columns.")
    return dict(node["where_clause"])


def _parse_query(connection: duckdb.DuckDBPyConnection, text: str, query: str, option: str) -> dict[str, Any]:
    """Return the syntax tree of `query`, which has the user's `text`; it is empty if these are several statements."""
    if not isinstance(text, str) or not is_unicode(text):
        raise UsageError(f"invalid {option} {text!r}. Use an SQL expression, as text in UTF-8.")
    try:
        tree = json.loads(_serialize_query(connection, query))
    except RecursionError as error:
        raise UsageError(f"{option} {quote_start(text)!r} is nested too deeply. Simplify it.") from error
    if tree["error"]:
        raise UsageError(
            f"{option} {quote_start(text)!r} is not an SQL expression: {hide_credentials(text, tree['error_message'])}"
        )
    statements = tree["statements"]
    return dict(statements[0]["node"]) if len(statements) == 1 else {}


def _serialize_query(connection: duckdb.DuckDBPyConnection, query: str) -> str:
    """Return the syntax tree of `query` as JSON."""
    row = connection.execute("SELECT json_serialize_sql($query)", {"query": query}).fetchone()
    assert row is not None
    return str(row[0])


def _is_simple_select(node: dict[str, Any]) -> bool:
    return (
        node.get("type") == "SELECT_NODE"
        and not any(node[name] for name in ("modifiers", "group_expressions", "having", "qualify", "sample"))
        and not node["cte_map"]["map"]
        and node["from_table"]["type"] == "BASE_TABLE"
    )


def _iter_nodes(tree: Any) -> Iterator[dict[str, Any]]:
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
        if isinstance(node, dict | list):
            waiting += node.values() if isinstance(node, dict) else node
