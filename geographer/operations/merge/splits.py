"""Splits after a merge: leaks of the merged graph as conflicts, each with the fewest changes that end it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import msgspec

from geographer.base.canonical_json import canonical_json
from geographer.base.errors import ConflictError, quote_objects
from geographer.operations.merge.events import BranchMerged
from geographer.operations.merge.sides import MergeSides
from geographer.planning.merge_conflicts import Conflict, NumberedConflict, make_conflict_rows
from geographer.storage.database.connection import register_table
from geographer.storage.events.row_tables import ROW_TABLES, make_row_table
from geographer.storage.queries.revision import Revision
from geographer.storage.request import Change

if TYPE_CHECKING:
    import pyarrow as pa

    from geographer.planning.split_constraints.leaks import SplitLeak

Parts = Mapping[tuple[str, str], str | None]
"""The part of a raster in a split, by split and raster."""

_PARTS: Final = (
    "SELECT split, raster_id, part FROM version_split_change JOIN (SELECT event_key, split, raster_id, part "
    "FROM log.split_change) USING (event_key, split, raster_id) WHERE side = $side"
)
_RESOLVED_SPLITS: Final = (
    "CREATE OR REPLACE TEMP VIEW current_split AS "
    "SELECT split.* REPLACE (if(change IS NULL, split.part, changed.part) AS part) FROM state.split AS split "
    "LEFT JOIN resolved_split AS changed ON changed.split = split.split AND changed.raster_id = split.raster_id "
    "WHERE is_current(valid_from, valid_to) AND change IS DISTINCT FROM 'removed'"
)
_CANDIDATES: Final = "SELECT split, raster_id FROM candidate_split_change"


class SplitSides:
    """The assignments of both sides to parts, read while the sides are staged."""

    def __init__(self, revision: Revision, sides: MergeSides, *, has_rows: bool) -> None:
        """Read them; without `has_rows`, no side changed one."""
        self._changed = {*revision.fetch_rows(_CANDIDATES)} if has_rows else set()
        self._parts: dict[str, Parts] = {}
        for name, side in (("ours", sides.ours), ("theirs", sides.their_side)):
            rows = revision.fetch_rows(_PARTS, {"side": side}) if has_rows else []
            self._parts[name] = {(split, raster): part for split, raster, part in rows}

    def make_conflict(self, leak: "SplitLeak") -> Conflict:
        """Return the conflict of a split that leaks: to take a side means that only its rasters keep their part."""
        values = {}
        for name, parts in self._parts.items():
            values[name] = {
                raster: parts.get((leak.split, raster)) if (leak.split, raster) in self._changed else part
                for group in leak.groups
                for raster, part in group.rasters.items()
            }
        ours, theirs, remedy = (
            canonical_json(value) for value in (values["ours"], values["theirs"], leak.list_changes())
        )
        return Conflict("split", leak.split, None, None, ours, theirs, remedy)


def make_split_check(
    change: Change, event: BranchMerged, splits: SplitSides, last_number: int
) -> Callable[[Revision], Change | None]:
    """Return what finds the leaks of the merged revision, and adds their conflicts, numbered after `last_number`."""

    def check_splits(revision: Revision) -> Change | None:
        from geographer.planning.split_constraints.check import iter_split_leaks

        conflicts = [splits.make_conflict(leak) for leak in iter_split_leaks(revision)]
        if not conflicts:
            return None
        rows = make_conflict_rows(conflicts, last_number)
        completed = msgspec.structs.replace(event, conflicts=event.conflicts + len(conflicts))
        all_rows = {**change.rows, "merge_conflict": _join_rows(change.rows.get("merge_conflict"), rows)}
        return replace(change, event=completed, rows=all_rows, complete=None)

    return check_splits


def _join_rows(listed: "pa.Table | str | None", rows: "pa.Table") -> "pa.Table":
    import pyarrow as pa

    assert not isinstance(listed, str)
    return rows if listed is None else pa.concat_tables([listed, rows])


def require_sound_splits(revision: Revision, conflicts: Sequence[NumberedConflict], rows: "pa.Table | None") -> None:
    """Raise if one of the splits in conflict would leak with the rows of `split_change` that resolve it.

    Raises:
        ConflictError: names two rasters, what connects them and the remedy.
    """
    if not conflicts:
        return
    from geographer.planning.split_constraints.check import require_leak_free

    changes = (
        make_row_table("split_change", {name: [] for name in ROW_TABLES["split_change"]}) if rows is None else rows
    )
    connection = revision.connection
    with register_table(connection, "resolved_split", changes):
        connection.execute("BEGIN")
        try:
            connection.execute(_RESOLVED_SPLITS)
            require_leak_free(revision, [item.conflict.object_id for item in conflicts])
        except ConflictError as error:
            numbers = quote_objects("conflict", [item.number for item in conflicts])
            raise ConflictError(
                f"{numbers} cannot be resolved so: {error} Or pass --take smallest, for the proposal of geographer "
                "conflicts, or a CSV file with other parts."
            ) from error
        finally:
            connection.execute("ROLLBACK")
