"""Other dataset: stage the objects that differ between a revision of this dataset and one of another dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

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
    from geographer.storage.queries.revision import Revision

_NO_POSITION: Final = 0
"""A position at which nothing is valid: a side that differs from it has all objects of its revision."""


def require_common_history(ours: Revision, theirs: Revision, name: str) -> None:
    """Raise `ConflictError` unless both datasets began with the same event."""
    if read_event(ours.connection, 1).digest != read_event(theirs.connection, 1).digest:
        raise ConflictError(
            f"'{name}' has no common history with this dataset: their first events differ. Compare two copies of one "
            "dataset."
        )


def stage_other_changes(ours: Revision, theirs: Revision) -> None:
    """Make what `stage_changes` makes on the connection of `ours`, the old side; `theirs` is the new side.

    Positions are those of the other dataset, 0 for what it lacks: an event that removed it is unknown.
    """
    for kind in OBJECT_KINDS.values():
        _exchange_versions(ours, theirs, kind)
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


def _exchange_versions(ours: Revision, theirs: Revision, kind: ObjectKind) -> None:
    """Make `old_side_<kind>` and `new_side_<kind>` of the versions that only one of the datasets has."""
    stage_side(ours.connection, kind, "old", ours.position, _NO_POSITION)
    stage_side(theirs.connection, kind, "new", theirs.position, _NO_POSITION)
    keys = ", ".join(f'"{key}"' for key in (*kind.keys, "row_digest"))
    known = {
        side: revision.fetch_arrow(f"SELECT {keys} FROM {side}_side_{kind.name}")  # noqa: S608
        for side, revision in (("old", ours), ("new", theirs))
    }
    with register_table(theirs.connection, "known_version", known["old"]):
        new = theirs.fetch_arrow(f"FROM new_side_{kind.name} ANTI JOIN known_version USING ({keys})")
    with register_table(ours.connection, "their_version", new):
        ours.connection.execute(f"CREATE OR REPLACE TEMP TABLE new_side_{kind.name} AS FROM their_version")
    with register_table(ours.connection, "known_version", known["new"]):
        old = f"FROM old_side_{kind.name} ANTI JOIN known_version USING ({keys})"
        ours.connection.execute(f"CREATE OR REPLACE TEMP TABLE old_side_{kind.name} AS {old}")
