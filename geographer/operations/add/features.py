"""Features in: read, checked row by row in SQL, and staged as the rows of one `features_added` event."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from geographer.base.errors import ConflictError, NotFoundError, UsageError, quote_names
from geographer.planning.vector_source import VectorSource, open_vector_source, properties_sql
from geographer.storage.database.connection import escape_literal, quote_identifier
from geographer.storage.database.sql_sandbox import validate_expression
from geographer.storage.events import EventDraft
from geographer.storage.log.digests import row_digest_sql
from geographer.storage.log.row_tables import make_row_table

if TYPE_CHECKING:
    from collections.abc import Collection

    from geographer.storage.queries.revision import Revision

_ID_COLUMNS: Final = ("feature_id", "id")
_INTEGERS: Final = (
    "TINYINT",
    "SMALLINT",
    "INTEGER",
    "BIGINT",
    "UTINYINT",
    "USMALLINT",
    "UINTEGER",
)
_WIDE_INTEGERS: Final = ("UBIGINT", "HUGEINT", "UHUGEINT")
_LONGEST_CLAIM: Final = 50
_DEFAULT_CLASS: Final = "object"
_RESERVED: Final = {"feature_id", "class", "geometry"}
_KNOWN: Final = "its id is in the dataset already"
_CONFLICTS: Final = ("its id stands twice in the file", _KNOWN)

_READ: Final = Path(__file__).with_name("read_feature.sql")


@dataclass(frozen=True, slots=True)
class FeatureOptions:
    """How features are read: which columns and rows, and what becomes of rows that are not fit, or known already."""

    id_column: str | None = None
    class_column: str | None = None
    as_class: str | None = None
    where: str | None = None
    crs: str | None = None
    on_error: Literal["fail", "skip"] = "fail"
    replace: bool = False


def plan_features(
    revision: Revision,
    data: Any,
    options: FeatureOptions,
    request: dict[str, Any],
    *,
    coming: Collection[str] = (),
) -> EventDraft:
    """The `features_added` event that adding `data` would be; its rows are staged in the revision's connection.

    `coming` are classes that the same event brings: features may have them, though the dataset does not yet.

    Raises:
        NotFoundError: no such file, column or class.
        UsageError: a geometry is missing, empty, invalid or out of range, or there is no id or CRS.
        ConflictError: ids stand twice, or are in the dataset.
    """
    if options.class_column is not None and options.as_class is not None:
        raise UsageError("--class names a column and --as-class a class for all: pass one of them")
    with open_vector_source(revision.connection, data, options.crs) as source:
        own = _stage(revision, source, options)
    _refuse_wrong_crs(revision, source)
    skipped = _skipped(revision, source, options.on_error)
    classes = _new_classes(revision, source, coming)
    count = revision.fetch_value("SELECT count(*) FROM new_feature")
    payload = {
        "request": request,
        "source": source.name,
        "crs": source.crs,
        "columns": {name: kind for name, (_, kind) in own.items()},
        "features": count,
        "skipped": len(skipped["name"]),
        "classes": classes,
        **(_replaced(revision) if options.replace else {}),
    }
    rows: dict[str, Any] = {"feature_change": "new_feature"} if count else {}
    if skipped["name"]:
        rows["skipped_input"] = make_row_table("skipped_input", skipped)
    if classes:
        rows["class_change"] = class_rows(revision, classes)
    return EventDraft("features_added", payload, rows)


def _replaced(revision: Revision) -> dict[str, int]:
    """How many features are new, how many are other than they were, and how many are as they were."""
    added, changed = revision.fetch_rows(
        "SELECT count(*) FILTER (change = 'added'), count(*) FILTER (change = 'changed') FROM new_feature"
    )[0]
    fit = revision.fetch_value("SELECT count(*) FROM read_feature WHERE reason IS NULL")
    return {"added": added, "changed": changed, "unchanged": fit - added - changed}


def class_rows(revision: Revision, names: list[str]) -> Any:
    """Rows that add classes with the next values; 0 is the background's."""
    last = revision.fetch_value("SELECT coalesce(max(value), 0) FROM classes")
    return make_row_table("class_change", {"class": names, "value": [last + 1 + i for i in range(len(names))]})


def _stage(revision: Revision, source: VectorSource, options: FeatureOptions) -> dict[str, tuple[str, str]]:
    """Make the temporary table `read_feature`: every row of the source, with the reason why it is not fit."""
    id_column = _id_column(source, options.id_column)
    class_column = None if options.as_class else _class_column(revision, source, options.class_column)
    used = {id_column} | ({class_column} if class_column else set())
    own = source.list_user_columns(used, _RESERVED)
    where = "true"
    if options.where is not None:
        where = validate_expression(revision.connection, options.where, [*source.columns, source.geometry])
    one_class = escape_literal(options.as_class or _only_class(revision))
    classes = f"{quote_identifier(class_column)}::VARCHAR" if class_column else f"'{one_class}'"
    with source.translate_errors(options.where):
        revision.connection.execute(
            f"CREATE OR REPLACE TEMP VIEW given_feature AS SELECT {quote_identifier(id_column)}::VARCHAR AS feature_id, "  # noqa: S608
            f"{classes} AS class, ST_Force2D({quote_identifier(source.geometry)}::GEOMETRY) AS geometry, "
            f"{properties_sql(own)} AS properties FROM {source.relation} WHERE {where}"
        )
        revision.connection.execute(_READ.read_text(), {"crs": source.crs, "replace": options.replace})
    # What is known, and not refused for it, is there to be replaced; what is as it was has the digest that it had.
    other = f"known_digest IS DISTINCT FROM {row_digest_sql('feature_change')}" if options.replace else "true"
    revision.connection.execute(
        "CREATE OR REPLACE TEMP VIEW new_feature AS SELECT * EXCLUDE (line, known_digest) FROM ("  # noqa: S608
        "SELECT line, known_digest, if(known_digest IS NULL, 'added', 'changed') AS change, feature_id, "
        f"{_is_integer(source.columns[id_column])} AS id_is_integer, class, "
        f"ST_AsWKB(geometry)::BLOB AS geometry, '{escape_literal(source.crs)}' AS crs, properties "
        f"FROM read_feature WHERE reason IS NULL) WHERE {other} ORDER BY line"
    )
    return own


def _is_integer(kind: str) -> str:
    """SQL for whether ids of a DuckDB type are integers that every reader can hold; larger ones stay text."""
    if kind in _WIDE_INTEGERS:
        return "coalesce((SELECT bool_and(TRY_CAST(feature_id AS BIGINT) IS NOT NULL) FROM read_feature), true)"
    return str(kind in _INTEGERS).lower()


def _id_column(source: VectorSource, asked: str | None) -> str:
    if asked is not None:
        return source.require_column(asked)
    found = next((name for name in _ID_COLUMNS if name in source.columns), None)
    if found is None:
        names = ", ".join(source.columns) or "none"
        raise UsageError(
            f"'{source.name}' has no column 'feature_id' or 'id': pass --id COLUMN; the columns are {names}"
        )
    return found


def _class_column(revision: Revision, source: VectorSource, asked: str | None) -> str | None:
    if asked is not None:
        return source.require_column(asked)
    if "class" in source.columns:
        return "class"
    declared = [name for name, value in revision.fetch_rows("SELECT class, value FROM classes") if value > 0]
    if len(declared) > 1:
        raise UsageError(
            f"the dataset has the classes {quote_names(declared)}: pass --class COLUMN to say which is which, "
            "or --as-class NAME for all"
        )
    return None


def _only_class(revision: Revision) -> str:
    """The class of features that come without one."""
    declared = revision.fetch_rows("SELECT class FROM classes WHERE value > 0")
    return str(declared[0][0]) if declared else _DEFAULT_CLASS


def _refuse_wrong_crs(revision: Revision, source: VectorSource) -> None:
    """Raise when most of a file lies where its CRS has no places, as metres do that claim to be degrees."""
    far, count, example = revision.fetch_rows(
        "SELECT count(*) FILTER (starts_with(reason, 'its coordinates are out of range')), count(*), "
        "any_value(ST_AsText(ST_Centroid(geometry))) FILTER (starts_with(reason, 'its coordinates are out of range')) "
        "FROM read_feature WHERE geometry IS NOT NULL"
    )[0]
    if far * 2 > count:
        claim = {"EPSG:4326": "longitude/latitude (EPSG:4326)"}.get(source.crs, source.crs)
        claim = claim if len(claim) < _LONGEST_CLAIM else "a CRS"
        raise UsageError(
            f"'{source.name}' claims {claim} but holds coordinates like {example}, which it does not have: "
            "pass --crs with the CRS that they are in"
        )


def _skipped(revision: Revision, source: VectorSource, on_error: str) -> dict[str, list[str]]:
    rows = revision.fetch_rows(
        "SELECT coalesce(feature_id, 'row ' || line), reason FROM read_feature WHERE reason IS NOT NULL ORDER BY line"
    )
    if rows and on_error == "fail":
        reason = rows[0][1]
        same = [name for name, why in rows if why == reason]
        more = f" ({len(rows) - len(same):,} rows have other faults)" if len(rows) > len(same) else ""
        error = ConflictError if reason in _CONFLICTS else UsageError
        way = "pass --replace" if reason == _KNOWN else "mend it"
        raise error(
            f"'{source.name}': {quote_names(same)} can't be added, because {reason}{more}; {way}, or pass --on-error skip"
        )
    return {
        "input": [source.name] * len(rows),
        "name": [name for name, _ in rows],
        "reason": [reason for _, reason in rows],
    }


def _new_classes(revision: Revision, source: VectorSource, coming: Collection[str]) -> list[str]:
    """The classes that this file adds; none where the dataset was given its classes.

    Raises:
        NotFoundError: the dataset was given its classes, and the file has others.
        UsageError: features without a class.
    """
    rows = revision.fetch_rows(
        "SELECT class, min(feature_id) FROM read_feature WHERE reason IS NULL "
        "AND (class IS NULL OR class NOT IN (SELECT class FROM classes)) GROUP BY class ORDER BY class"
    )
    missing = [first for name, first in rows if name is None or name == ""]
    if missing:
        raise UsageError(
            f"'{source.name}': feature '{missing[0]}' has no class: fill the column, or leave it out with --where"
        )
    names = [name for name, _ in rows if name not in coming]
    declared = revision.fetch_value(
        "SELECT json_array_length(payload, '$.classes') > 0 FROM log.event WHERE position = 1"
    )
    if names and declared:
        known = [row[0] for row in revision.fetch_rows("SELECT class FROM classes")]
        raise NotFoundError(
            f"'{source.name}': no class {quote_names(names)} in this dataset, which has {quote_names(known)}: "
            "add it with geographer add classes, or pass --class COLUMN with those"
        )
    return names
