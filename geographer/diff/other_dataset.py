"""Other dataset: stage the objects that differ between a revision of this dataset and one of another dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from geographer.base.errors import ConflictError
from geographer.diff.changes import (
    GEOMETRY_VERSIONS,
    OBJECT_KINDS,
    ObjectKind,
    pair_geometries,
    pair_versions,
    stage_geometries,
    stage_side,
)
from geographer.storage.database.connection import register_table
from geographer.storage.log.read import read_event

if TYPE_CHECKING:
    import pyarrow as pa

    from geographer.storage.queries.revision import Revision


def require_common_history(ours: Revision, theirs: Revision, name: str) -> None:
    """Raise `ConflictError` unless both datasets began with the same event."""
    if read_event(ours.connection, 1).digest != read_event(theirs.connection, 1).digest:
        raise ConflictError(
            f"'{name}' has no common history with this dataset: their first events differ. Compare two copies of one "
            "dataset."
        )


def stage_other_changes(ours: Revision, theirs: Revision, common: int = 0) -> None:
    """Make what `stage_changes` makes on the connection of `ours`, the old side; `theirs` is the new side.

    `common` is the last position that both share; 0: not known, so that all objects are compared. Positions are those
    of the other dataset, 0 for what it lacks: an event that removed it is unknown.
    """
    for kind in OBJECT_KINDS.values():
        _exchange_versions(ours, theirs, kind, common)
        pair_versions(ours.connection, kind, is_forward=True)
        ours.connection.execute(f"UPDATE changed_{kind.name} SET position = 0 WHERE new IS NULL")  # noqa: S608
    wanted = ours.fetch_arrow(GEOMETRY_VERSIONS)
    tables = []
    for side, is_new in ((ours, False), (theirs, True)):
        with register_table(side.connection, "wanted_version", wanted):
            stage_geometries(side.connection, f"FROM wanted_version WHERE is_new = {is_new}")
        tables.append(side.fetch_arrow("FROM recorded_geometry"))
    with register_table(ours.connection, "their_geometry", tables[1]):
        ours.connection.execute("INSERT INTO recorded_geometry BY NAME FROM their_geometry")
    pair_geometries(ours.connection)


def _exchange_versions(ours: Revision, theirs: Revision, kind: ObjectKind, common: int) -> None:
    """Make `old_side_<kind>` and `new_side_<kind>` of the versions that only one of the datasets has."""
    old, new = _fetch_versions(ours, kind, common), _fetch_versions(theirs, kind, common)
    keys = ", ".join(f'"{key}"' for key in (*kind.keys, "row_digest"))
    connection = ours.connection
    with (
        register_table(connection, "our_version", old.begun),
        register_table(connection, "their_version", new.begun),
        register_table(connection, "our_end", old.ended),
        register_table(connection, "their_end", new.ended),
    ):
        # A version of the common revision that one of both ended is valid in the other one.
        for side, begun, others, other_end, own_end in (
            ("old", "our_version", "their_version", "their_end", "our_end"),
            ("new", "their_version", "our_version", "our_end", "their_end"),
        ):
            connection.execute(
                f"CREATE OR REPLACE TEMP TABLE {side}_side_{kind.name} AS "
                f"FROM {begun} ANTI JOIN {others} USING ({keys}) "
                f"UNION ALL BY NAME FROM {other_end} ANTI JOIN {own_end} USING ({keys})"
            )


class _Versions(NamedTuple):
    """The versions of objects that began after the last common revision, and those that were valid there and ended."""

    begun: pa.Table
    ended: pa.Table


def _fetch_versions(revision: Revision, kind: ObjectKind, common: int) -> _Versions:
    stage_side(revision.connection, kind, "new", revision.position, common)
    stage_side(revision.connection, kind, "old", common, revision.position)
    return _Versions(*(revision.fetch_arrow(f"FROM {side}_side_{kind.name}") for side in ("new", "old")))
