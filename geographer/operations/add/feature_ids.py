"""Feature ids: which column or number of a file they are, or whether they are made from the geometry."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from geographer.base.errors import UsageError
from geographer.operations.add.events import FeatureIds
from geographer.planning.vectors.source import INTEGER_TYPES, VectorSource
from geographer.storage.database.connection import quote_identifier
from geographer.storage.queries.revision import Revision

if TYPE_CHECKING:
    from geographer.operations.add.features import AddFeatures

CONTENT_IDS: Final = FeatureIds("content", None)
"""Ids are made from the geometry; check_features.sql says how."""

_DEFAULT_COLUMNS: Final = ("feature_id", "id")
_FID: Final = "fid"
_FLOAT_TYPES: Final = ("FLOAT", "DOUBLE", "DECIMAL")
_LARGEST_WHOLE_FLOAT: Final = 2**53
_WIDE_INTEGER_TYPES: Final = ("UBIGINT", "HUGEINT", "UHUGEINT")
_FIND_RECORDED: Final = Path(__file__).with_name("recorded_ids.sql")


def choose_feature_ids(revision: Revision, source: VectorSource, request: "AddFeatures") -> FeatureIds:
    """Return where the ids of the features come from.

    That is the requested column or FID; for a request that finds features of the dataset again, what the last addition
    from a file of this name recorded; else the column 'feature_id' or 'id'; else the content.

    Raises:
        NotFoundError: The data lack the requested column.
        UsageError: They have no FID, or lack the column that an earlier addition used.
    """
    if request.id is not None:
        return _find_requested(source, request.id)
    columns = [name for name in _DEFAULT_COLUMNS if name in source.columns and _has_values(revision, source, name)]
    default = FeatureIds("column", columns[0]) if columns else CONTENT_IDS
    if not (request.replace or request.sync) or _DEFAULT_COLUMNS[0] in columns:
        return default
    return _find_recorded(revision, source, request.layer) or default


def _has_values(revision: Revision, source: VectorSource, column: str) -> bool:
    """Return whether a column has a value in some row, or there are no rows; editors add empty columns called id."""
    query = f"SELECT count(*) = 0 OR count({quote_identifier(column)}) > 0 FROM {source.relation}"  # noqa: S608
    with source.translate_errors():
        return bool(revision.fetch_value(query))


def _find_requested(source: VectorSource, name: str) -> FeatureIds:
    if name == _FID and name not in source.columns and source.fid is None:
        raise UsageError(
            f"'{source.name}' has no column '{_FID}', and no feature ids (FID): its format has none. Pass --id COLUMN, "
            "or omit --id: ids are then made from the geometry."
        )
    column = source.require_column(name)
    return FeatureIds("fid", None) if column == source.fid else FeatureIds("column", column)


def _find_recorded(revision: Revision, source: VectorSource, layer: str | None) -> FeatureIds | None:
    """Return what the last addition from a file of the same name, and its layer, recorded; None if there is none."""
    parameters = {"name": Path(source.name).name, "layer": layer}
    recorded = revision.fetch_value(_FIND_RECORDED.read_text(), parameters)
    if recorded is None:
        return None
    ids = msgspec.json.decode(recorded, type=FeatureIds)
    is_missing = ids.source == "column" and ids.column not in source.columns
    if is_missing and ids.column is not None:
        raise UsageError(
            f"the ids of the features of '{source.name}' were those of its column '{ids.column}', which it lacks now. "
            "Pass --id COLUMN."
        )
    if ids.source == "fid" and source.fid is None:
        raise UsageError(f"the ids of the features of '{source.name}' were its FIDs, which it lacks. Pass --id COLUMN.")
    return None if is_missing else ids


def find_id_column(source: VectorSource, ids: FeatureIds) -> str | None:
    """Return the column of the relation that holds the ids; None: there is none."""
    return source.fid if ids.source == "fid" else ids.column


def find_repeated_id(revision: Revision, source: VectorSource, id_column: str | None) -> str | None:
    """Return the other default column of ids if it repeats those of `id_column`, as in GeoJSON with top-level ids."""
    others = [name for name in _DEFAULT_COLUMNS if name in source.columns and name != id_column]
    if id_column not in _DEFAULT_COLUMNS or not others:
        return None
    given, other = quote_identifier(id_column), quote_identifier(others[0])
    query = f"SELECT bool_and({given}::VARCHAR IS NOT DISTINCT FROM {other}::VARCHAR) FROM {source.relation}"  # noqa: S608
    with source.translate_errors():
        return others[0] if revision.fetch_value(query) else None


def build_id_sql(revision: Revision, source: VectorSource, ids: FeatureIds) -> str:
    """Return SQL for the id of a row as text: that of whole numbers without a fraction; NULL if it is to be made.

    `UsageError` if a floating-point id is not a whole number of at most 2^53, which is not exact.
    """
    column = find_id_column(source, ids)
    if column is None:
        return "NULL::VARCHAR"
    name = quote_identifier(column)
    if source.column_type(column).partition("(")[0] not in _FLOAT_TYPES:
        return f"{name}::VARCHAR"
    is_whole = f"{name}::DOUBLE = trunc({name}::DOUBLE) AND abs({name}::DOUBLE) <= {_LARGEST_WHOLE_FLOAT}"
    query = (
        f"SELECT any_value({name}::VARCHAR) FROM {source.relation} WHERE NOT isnan({name}::DOUBLE) AND NOT ({is_whole})"  # noqa: S608
    )
    with source.translate_errors():
        inexact = revision.fetch_value(query)
    if inexact is not None:
        raise UsageError(
            f"column '{column}' of '{source.name}' has the id {inexact}, a floating-point number that is not whole or "
            "not exact. Store the ids as text or as whole numbers, or pass another --id COLUMN."
        )
    return f"if(isnan({name}::DOUBLE), NULL, {name}::BIGINT::VARCHAR)"


def build_is_integer_sql(source: VectorSource, ids: FeatureIds) -> str:
    """Return SQL for whether the ids are recorded as integers; values beyond 64 bits stay text."""
    column = find_id_column(source, ids)
    kind: Any = None if column is None else source.column_type(column).partition("(")[0]
    if kind in _WIDE_INTEGER_TYPES:
        return "coalesce((SELECT bool_and(TRY_CAST(feature_id AS BIGINT) IS NOT NULL) FROM checked_feature), true)"
    return str(kind in (*INTEGER_TYPES, *_FLOAT_TYPES)).lower()
