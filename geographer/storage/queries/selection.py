"""Selections: the query for the rows and columns of a table that a filter asks for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral
from typing import Any, Final, Literal, NamedTuple, get_args

from geographer.base.errors import NotFoundError, UsageError, quote_names
from geographer.storage.database.connection import quote_identifier, register_table
from geographer.storage.queries.column_values import convert_values
from geographer.storage.queries.raster_counts import COUNT_COLUMNS, build_counted_source, list_count_columns
from geographer.storage.queries.revision import GEOMETRY_COLUMNS, KEY_COLUMN, SORTED_VIEWS, TABLES, Revision, SortedView

Relation = Literal["contains", "intersects"]

_RELATED: Final = (
    "(SELECT {0}_key FROM current_edge SEMI JOIN requested_{1} USING ({1}_key) "
    "WHERE contains = coalesce($relation = 'contains', contains))"
)
_SETS: Final = {
    **{"features": "(SELECT feature_key FROM requested_feature)", "feature_ids": "(SELECT id FROM requested_feature)"},
    **{"rasters": "(SELECT raster_key FROM requested_raster)", "raster_ids": "(SELECT id FROM requested_raster)"},
    "features_of_rasters": _RELATED.format("feature", "raster"),
    "rasters_of_features": _RELATED.format("raster", "feature"),
    "key": KEY_COLUMN,
}
_IDS_OF_FEATURES: Final = (
    "raster_id IN (SELECT raster_id FROM current_raster WHERE raster_key IN {rasters_of_features})"
)
_FILTERS: Final = {
    "features": ("{key} IN {features}", "{key} IN {features_of_rasters}"),
    "edges": ("feature_key IN {features}", "raster_key IN {rasters}"),
    "rasters": ("{key} IN {rasters_of_features}", "{key} IN {rasters}"),
    "chips": ("{key} IN {rasters_of_features}", "({key} IN {rasters} OR parent_id IN {raster_ids})"),
    "labels": (_IDS_OF_FEATURES, "raster_id IN {raster_ids}"),
    "objects": ("feature_id::VARCHAR IN {feature_ids}", "raster_id IN {raster_ids}"),
    "splits": (_IDS_OF_FEATURES, "raster_id IN {raster_ids}"),
}
"""The conditions by features and by rasters; by keys in views that have them: integers are found faster than names."""


class TableFilter(NamedTuple):
    """Which rows and columns of a table to read; all conditions that are set must hold.

    Attributes:
        where: An SQL expression over the table's columns, which is true.
        feature, raster: The rows are those of these features or rasters.
        relation: They are in this relation.
        values: The values that columns have, by name: None, one value or many.
        columns: The columns, in this order; None: all.
        limit: The largest number of rows; None: no limit.
    """

    where: str | None = None
    feature: Sequence[str] | None = None
    raster: Sequence[str] | None = None
    relation: Relation | None = None
    values: Mapping[str, Any] = {}
    columns: Sequence[str] | None = None
    limit: int | None = None


def require_table(table: str) -> None:
    """Raise `NotFoundError` unless `table` is one of the tables of a revision."""
    if not isinstance(table, str) or table not in TABLES:
        raise NotFoundError(f"no table {table!r}. The tables are {', '.join(TABLES)}.")


def build_selection(
    revision: Revision, table: str, table_filter: TableFilter, *, with_key: bool = False
) -> tuple[str, dict[str, Any]]:
    """Build the query for a table's filtered rows; return it with its parameters.

    `with_key` adds the key column, in tables that have user columns.

    Raises:
        NotFoundError: this revision lacks a feature, a raster, or a column that `where` names.
        UsageError: `where` is not one SQL expression, the table has no relation to filter by, or another column of the
            filter does not exist or cannot have the value.
    """
    require_table(table)
    _validate_relation(table_filter.relation)
    counts = _list_named_counts(revision, table, table_filter)
    conditions, parameters = _build_conditions(revision, table, table_filter, counts)
    view = SORTED_VIEWS.get(table, SortedView(table))
    columns = f"*{'' if with_key else view.exclude}"
    if table_filter.columns is not None or counts:
        known = revision.list_columns(table)
        wanted = known if table_filter.columns is None else table_filter.columns
        names = require_columns(wanted, [*known, *counts], f"table '{table}'")
        columns = ", ".join([*map(quote_identifier, names), *([KEY_COLUMN] if with_key else [])])
    source = build_counted_source(view.source, counts) if counts else view.source
    # Sort last: a join has no order.
    query = f"SELECT {columns} FROM {source} WHERE {' AND '.join(conditions)}{view.order_by}"  # noqa: S608
    return query + build_limit(table_filter.limit), parameters


def _list_named_counts(revision: Revision, table: str, table_filter: TableFilter) -> dict[str, str]:
    """Return the count columns of features, with types, if the filter names one: they cost a pass over the edges."""
    columns = [] if isinstance(table_filter.columns, str) else [*(table_filter.columns or ())]
    texts = [str(table_filter.where or ""), *map(str, columns), *map(str, table_filter.values)]
    if not any(name in text.lower() for name in COUNT_COLUMNS for text in texts):
        return {}
    return list_count_columns(table, revision.describe_columns(table))


def find_geometry_column(table: str, table_filter: TableFilter) -> str | None:
    """Return the geometry column of a table, if the filter selects it."""
    geometry, columns = GEOMETRY_COLUMNS.get(table), table_filter.columns
    return None if columns is not None and geometry not in [column.lower() for column in columns] else geometry


def include_identity(revision: Revision, table: str, table_filter: TableFilter) -> TableFilter:
    """Return the filter with the id as the first column and the geometry as the last, if it selects columns at all."""
    geometry = GEOMETRY_COLUMNS.get(table)
    if table_filter.columns is None or geometry is None:
        return table_filter
    known = revision.list_columns(table)
    counts = _list_named_counts(revision, table, table_filter)
    names = require_columns(table_filter.columns, [*known, *counts], f"table '{table}'")
    return table_filter._replace(
        columns=[known[0], *(name for name in names if name not in (known[0], geometry)), geometry]
    )


def build_limit(limit: int | None) -> str:
    """Return the SQL for at most `limit` rows; `UsageError` unless it is a whole number from 0."""
    if limit is None:
        return ""
    if isinstance(limit, bool) or not isinstance(limit, Integral) or not 0 <= limit < 2**63:
        raise UsageError(f"invalid limit {limit!r}. Use a whole number of rows, 0 or more.")
    return f" LIMIT {int(limit)}"


def require_columns(requested: Sequence[str], columns: Sequence[str], owner: str) -> list[str]:
    """Return the names of the requested columns as `owner` has them; names that differ in case are equal, as in SQL.

    Raises:
        UsageError: one does not exist, or is requested twice, or none is requested.
    """
    if isinstance(requested, str) or not isinstance(requested, Iterable):
        raise UsageError(f"invalid columns {requested!r}. Use a list of names.")
    known = {name.lower(): name for name in columns}
    requested = [*requested]
    if unknown := [str(name) for name in requested if str(name).lower() not in known]:
        raise make_unknown_column_error(unknown, columns, owner)
    names = [known[str(name).lower()] for name in requested]
    if not names or len(set(names)) < len(names):
        raise UsageError("invalid columns: name at least one, and each of them once.")
    return names


def make_unknown_column_error(unknown: Sequence[str], columns: Sequence[str], owner: str) -> UsageError:
    """Return the error for columns that `owner` does not have; it lists those that it has."""
    return UsageError(f"{owner} has no column {quote_names([*unknown])}. Its columns are {', '.join(columns)}.")


def stage_ids(revision: Revision, subject: Literal["feature", "raster"], ids: Sequence[str]) -> None:
    """Create the temporary table `requested_feature` or `requested_raster`: each of `ids` once, with index and key."""
    import pyarrow as pa

    unique_ids = pa.array(list(dict.fromkeys(ids)), pa.string())
    rows = pa.table({"id": unique_ids, "index": pa.array(range(len(unique_ids)), pa.int64())})
    with register_table(revision.connection, "requested_id", rows):
        revision.connection.execute(
            f"CREATE OR REPLACE TEMP TABLE requested_{subject} AS SELECT id, index, {subject}_key FROM requested_id "  # noqa: S608
            f"LEFT JOIN (SELECT {subject}_key, {subject}_id FROM current_{subject}) ON id = {subject}_id"
        )
    unknown = revision.fetch_rows(f"SELECT id FROM requested_{subject} WHERE {subject}_key IS NULL ORDER BY id")  # noqa: S608
    if unknown:
        names = quote_names([row[0] for row in unknown])
        raise NotFoundError(f"no {subject} {names} at @{revision.position}. See geographer {subject}s.")


def _validate_relation(relation: object) -> None:
    relations = get_args(Relation)
    if relation is not None and not (isinstance(relation, str) and relation in relations):
        raise UsageError(f"invalid --relation {relation!r}. Use {' or '.join(relations)}.")


def _build_conditions(
    revision: Revision, table: str, table_filter: TableFilter, counts: Mapping[str, str]
) -> tuple[list[str], dict[str, Any]]:
    """Return the conditions of a filter with the values of their parameters; `counts` are additional columns."""
    conditions = [revision.validate_filter(table, table_filter.where, extra_columns=counts)]
    by_feature, by_raster = _FILTERS.get(table, ("", ""))
    if not by_feature and (table_filter.feature is not None or table_filter.raster is not None):
        raise UsageError(f"table '{table}' has neither features nor rasters to filter by. Use a condition (where).")
    if table_filter.feature is not None:
        stage_ids(revision, "feature", table_filter.feature)
        conditions.append(by_feature.format(**_SETS))
    if table_filter.raster is not None:
        stage_ids(revision, "raster", table_filter.raster)
        conditions.append(by_raster.format(**_SETS))
    if table == "edges" and table_filter.relation is not None:
        conditions.append("relation = $relation")
    uses_relation = any("$relation" in condition for condition in conditions[1:])
    if table_filter.relation is not None and not uses_relation:
        raise UsageError(
            f"--relation needs a feature and a raster. Query edges, or add --feature or --raster to {table}."
        )
    value_conditions, values = build_value_conditions(revision, table, table_filter.values, counts)
    return conditions + value_conditions, values | ({"relation": table_filter.relation} if uses_relation else {})


def build_value_conditions(
    revision: Revision, table: str, values: Mapping[str, Any], extra_columns: Mapping[str, str] | None = None
) -> tuple[list[str], dict[str, Any]]:
    """Return the conditions that columns have these values, and the values of their parameters."""
    if not values:
        return [], {}
    types, conditions, parameters = revision.describe_columns(table) | {**(extra_columns or {})}, [], {}
    known = {name.lower(): name for name in types}
    for index, (name, value) in enumerate(values.items()):
        # An underscore at the end is not part of a name: `class_` is the column `class`.
        column = known.get(name.lower()) or known.get(name.removesuffix("_").lower())
        if column is None:
            raise make_unknown_column_error([name], [*types], f"table '{table}'")
        allowed, has_null = convert_values(column, types[column], value)
        quoted, is_null = quote_identifier(column), f"{quote_identifier(column)} IS NULL"
        matches = f"{quoted} IN (SELECT unnest($value_{index}::{types[column]}[]))"
        conditions.append(f"({matches} OR {is_null})" if has_null else matches)
        parameters[f"value_{index}"] = allowed
    return conditions, parameters
