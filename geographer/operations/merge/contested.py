"""Contested objects: the classes, features and rasters that both parents changed, merged by column."""

from collections import defaultdict
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from geographer.base.errors import ConflictError
from geographer.operations.merge.columns import Columns, join_row, split_row
from geographer.operations.merge.sides import FIRST, SECOND, MergeSides
from geographer.operations.merge.three_way import Contest, Take, merge_columns
from geographer.planning.merge_conflicts import Conflict
from geographer.storage.database.connection import quote_identifier
from geographer.storage.events.row_tables import ROW_TABLES
from geographer.storage.queries.revision import Revision

_FOLDER: Final = Path(__file__).parent
_CONTESTED: Final = {
    "class_change": "SELECT class AS id FROM decision_class_change WHERE chosen IS NULL",
    "feature_change": "SELECT feature_id AS id FROM decision_feature_change WHERE chosen IS NULL",
    "raster_change": "SELECT raster_id AS id FROM decision_raster_change WHERE chosen IS NULL AND NOT is_chip",
}


class MergedRow(NamedTuple):
    """An object after the merge: the side whose version it is, or else its values."""

    object_id: str
    chosen: str
    values: dict[str, Any] | None = None


def merge_contested(
    revision: Revision, sides: MergeSides, table: str, take: Take
) -> tuple[list[MergedRow], list[Conflict]]:
    """Merge the objects of a table that both parents changed, by column."""
    versions = _read_versions(revision, table)
    rows: list[MergedRow] = []
    conflicts: list[Conflict] = []
    for object_id, by_side in sorted(versions.items()):
        columns = {side: split_version(table, object_id, row) for side, row in by_side.items()}
        bases = [columns.get(name) for name in sides.base_names]
        contest = Contest(
            table.removesuffix("_change"), object_id, bases, columns.get(sides.ours), columns.get(sides.their_side)
        )
        merged = merge_columns(contest, take)
        conflicts += merged.conflicts
        rows.append(_make_merged_row(table, object_id, merged.columns, by_side, columns))
    return rows, conflicts


def split_version(table: str, object_id: str, row: dict[str, Any]) -> Columns:
    """Return the columns of a version; `ConflictError` if the row has properties that cannot be read."""
    try:
        return split_row(table, row)
    except msgspec.DecodeError as error:
        raise ConflictError(
            f"{table.removesuffix('_change')} '{object_id}' was changed on both sides, and a row of it cannot be read "
            f"({error}). Run geographer remove unreadable on the branch that has it, and merge again."
        ) from error


def _make_merged_row(
    table: str,
    object_id: str,
    merged: Columns | None,
    rows: dict[str, dict[str, Any]],
    columns: dict[str, Columns],
) -> MergedRow:
    equal = [side for side in (FIRST, SECOND) if columns.get(side) == merged]
    if equal:
        # Both are equal if only the text of their properties differs: either side must choose the same one.
        chosen = min(equal, key=lambda side: str((rows.get(side) or {}).get("row_digest")))
        return MergedRow(object_id, chosen)
    assert merged is not None
    return MergedRow(object_id, "merged", join_row(table, merged, (rows.get(FIRST), rows.get(SECOND))))


def _read_versions(revision: Revision, table: str) -> dict[str, dict[str, dict[str, Any]]]:
    """Return the values of the contested objects of a table, by id and side."""
    key, *columns = ROW_TABLES[table]
    query = (_FOLDER / "contested.sql").read_text()
    names = ", ".join(f"change.{quote_identifier(name)}" for name in columns)
    rows = revision.fetch_rows(query.format(table=table, key=key, columns=names, contested=_CONTESTED[table]))
    versions: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
    for object_id, side, row_digest, *values in rows:
        versions[object_id][side] = {**dict(zip(columns, values, strict=True)), "row_digest": row_digest}
    return versions
