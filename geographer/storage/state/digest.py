"""The digest of the state: a sum over its rows, so that an update adds only what it changed."""

from __future__ import annotations

from typing import Final

import duckdb

_KEYS: Final = {
    **{"class": "class", "feature": "feature_key", "raster": "raster_key", "edge": "feature_key, raster_key"},
    **{"label": "label, raster_id", "label_object": "label, raster_id, feature_id", "split": "split, raster_id"},
    **{"recipe": "name"},
}
"""The columns that identify an object, of the tables whose versions end."""

_LAST_POSITION: Final = 2**63 - 2
"""The largest position: a version that is still valid ends after it."""
_WITHOUT_END: Final = ("event", "user_column", "recipe_record", "tag")


def compute_state_digest(connection: duckdb.DuckDBPyConnection, after: int = 0, up_to: int | None = None) -> int:
    """Return the sum of the hashes of all rows that began, and of all ends of versions, after a position.

    A row is hashed without `valid_to`, and an end with its object's key and `valid_from`: so the digest of the whole
    state is the sum of those of its updates.
    """
    terms = [_sum_hashes(table, "*COLUMNS(* EXCLUDE (valid_to))", "valid_from") for table in _KEYS]
    terms += [_sum_hashes(table, f"{keys}, valid_from, valid_to", "valid_to") for table, keys in _KEYS.items()]
    terms += [_sum_hashes(table, "*COLUMNS(*)", "position") for table in _WITHOUT_END]
    bounds = {"after": after, "up_to": _LAST_POSITION if up_to is None else up_to}
    row = connection.execute(f"SELECT {' + '.join(terms)}", bounds).fetchone()
    assert row is not None
    return int(row[0])


def _sum_hashes(table: str, columns: str, position: str) -> str:
    query = f"SELECT sum(hash({columns})) FROM state.{table} WHERE {position} > $after AND {position} <= $up_to"  # noqa: S608
    return f"coalesce(({query}), 0)"
