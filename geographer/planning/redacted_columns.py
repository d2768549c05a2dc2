"""Redacted columns: find credentials in the columns of input data by SQL, and leave them out or refuse them."""

import logging
from collections.abc import Mapping
from typing import Final
from weakref import WeakSet

import duckdb

from geographer.base.redaction import (
    CREDENTIAL_HINT,
    is_secret_name,
    redact_column_value,
    require_no_credentials,
)
from geographer.storage.database.connection import escape_literal

logger = logging.getLogger(__name__)

_FAST_HINTS: Final = (":", "=", "earer ", "asic ", "-----BEGIN")
"""A text without any of these holds no credential. Searching them takes a third of the time of `CREDENTIAL_HINT`."""
_CONNECTIONS: Final[WeakSet[duckdb.DuckDBPyConnection]] = WeakSet()
"""The connections that have the function `redact_column_value`; creating it imports numpy."""
_warned_columns: set[str] = set()


def make_redacted_texts(
    connection: duckdb.DuckDBPyConnection, relation: str, texts: Mapping[str, str]
) -> dict[str, str]:
    """Return SQL for the texts (column to SQL) of a relation without credentials; a warning names columns that had any.

    Reads the columns once, and calls Python only for the texts that may hold credentials.
    """
    _warned_columns.clear()
    suspected = _find_hints(connection, relation, texts)
    secret = {name for name in texts if is_secret_name(name)}
    redacted = dict(texts)
    for name in suspected | secret:
        if connection not in _CONNECTIONS:
            connection.create_function("redact_column_value", _redact_and_warn, ["VARCHAR", "VARCHAR"], "VARCHAR")
            _CONNECTIONS.add(connection)
        condition = "true" if name in secret else _match_hint(texts[name])
        call = f"redact_column_value('{escape_literal(name)}', {texts[name]})"
        redacted[name] = f"CASE WHEN {condition} THEN {call} ELSE {texts[name]} END"
    return redacted


def reject_credentials(connection: duckdb.DuckDBPyConnection, relation: str, identifiers: Mapping[str, str]) -> None:
    """Raise `UsageError` if an identifier (noun, such as 'class name', to SQL) of a relation holds a credential."""
    for noun in _find_hints(connection, relation, identifiers):
        text = identifiers[noun]
        query = f"SELECT DISTINCT {text} FROM {relation} WHERE {_match_hint(text)}"  # noqa: S608
        require_no_credentials(noun, (name for (name,) in connection.execute(query).fetchall()))


def _find_hints(connection: duckdb.DuckDBPyConnection, relation: str, texts: Mapping[str, str]) -> set[str]:
    """Return the names of those texts (name to SQL) of which a value may hold a credential."""
    if not texts:
        return set()
    tests = (" OR ".join(f"bool_or(contains({text}, '{hint}'))" for hint in _FAST_HINTS) for text in texts.values())
    found = connection.execute(f"SELECT {', '.join(tests)} FROM {relation}").fetchall()[0]  # noqa: S608
    return {name for name, is_suspected in zip(texts, found, strict=True) if is_suspected}


def _match_hint(text: str) -> str:
    return f"regexp_matches({text}, '{escape_literal(CREDENTIAL_HINT)}')"


def _redact_and_warn(name: str, value: str) -> str:
    redacted = redact_column_value(name, value)
    if redacted != value and name not in _warned_columns:
        _warned_columns.add(name)
        logger.warning("column '%s' holds credentials, which are left out: the log keeps none", name)
    return redacted
