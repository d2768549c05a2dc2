"""Plan a merge: which revisions are compared, and the event that joins them."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from geographer.base.errors import ConflictError
from geographer.operations.merge.combine import Combined, combine_sides
from geographer.operations.merge.events import BranchMerged, CombinedEvent, MergedRevision, OnConflict, SettledConflict
from geographer.operations.merge.files import fetch_needed_files, list_needed_files
from geographer.operations.merge.sides import FIRST, SECOND, MergeSides, stage_sides
from geographer.operations.merge.splits import SplitSides, make_split_check
from geographer.planning.merge_conflicts import (
    Conflict,
    make_conflict_rows,
)
from geographer.storage.log.ancestry import read_ancestry
from geographer.storage.log.branches import Location, read_branch
from geographer.storage.log.read import locate_revision, read_event
from geographer.storage.queries.open_conflicts import require_no_conflicts
from geographer.storage.queries.revision import Revision
from geographer.storage.request import BuildContext, Change, MergeParents

if TYPE_CHECKING:
    import pyarrow as pa

_LAST: Final = (
    "SELECT coalesce(max(TRY_CAST(conflict AS BIGINT)), 0) FROM log.merge_conflict JOIN side_event USING (event_key)"
)
_TAKEN_LABELS: Final = Path(__file__).with_name("taken_labels.sql")


class CombinedPlan(NamedTuple):
    """The event of a comparison with its rows, and the files that they name."""

    event: CombinedEvent
    rows: "Mapping[str, pa.Table | str]"
    needed: Mapping[str, str]
    action: str
    merge: MergeParents | None = None
    splits: SplitSides | None = None
    last_number: int = 0

    @property
    def is_empty(self) -> bool:
        """See `Plan.is_empty`."""
        return not self.rows and self.event.is_empty and self.merge is None

    def build_outputs(self, context: BuildContext, /) -> Change:
        """Fetch the files that only the remote has; see `fetch_needed_files` for errors."""
        fetch_needed_files(context.root, self.needed, self.action)
        change = Change(self.event, self.rows, merge=self.merge)
        if self.splits is None or not isinstance(self.event, BranchMerged):
            return change
        return replace(change, complete=make_split_check(change, self.event, self.splits, self.last_number))


def plan_merge(revision: Revision, name: str, onto: str | None, on_conflict: OnConflict) -> CombinedPlan:
    """Plan the event that merges the revision `name` into the branch in use, whose head is open.

    With `onto`, a chain such as `origin/main`, the merged revision is the first parent: the branch follows that chain.

    Raises:
        ConflictError: the merged revision, or the branch in use, has conflicts that are not resolved.
    """
    location = locate_revision(revision.connection, name)
    theirs, ours = read_digest(revision, location), read_event(revision.connection, revision.position).digest
    require_no_conflicts(revision, "merging")
    bases = read_ancestry(revision.connection).find_merge_bases(ours, theirs)
    first, second = (theirs, ours) if onto else (ours, theirs)
    sides = stage_sides(revision, first, second, bases, ours=SECOND if onto else FIRST)
    _require_resolved(revision, sides, name)
    combined = combine_sides(revision, sides, "theirs" if on_conflict == "theirs" else "ours")
    is_listed, common = on_conflict == "list", read_event(revision.connection, sides.common)
    last_number = _read_last_number(revision)
    if is_listed and combined.conflicts:
        combined.rows["merge_conflict"] = make_conflict_rows(combined.conflicts, last_number)
    event = BranchMerged(
        merged=MergedRevision(name, location.position, theirs),
        bases=[*sides.bases],
        common=sides.common,
        follows_published=onto is not None,
        labels_up_to=_find_labels_position(revision, sides) if list(sides.bases) == [common.digest] else 0,
        renumbered=combined.renumbered,
        on_conflict=on_conflict,
        conflicts=len(combined.conflicts) if is_listed else 0,
        settled=[] if is_listed else [settle_conflict(conflict, on_conflict) for conflict in combined.conflicts],
        **combined.payload,
    )
    plan = make_plan(revision, event, combined, f"merge {name}", MergeParents(theirs, onto))
    return plan._replace(
        splits=SplitSides(revision, sides, has_rows=combined.has_assignments), last_number=last_number + event.conflicts
    )


def _find_labels_position(revision: Revision, sides: MergeSides) -> int:
    """Return the position up to which all labels of the second side take changes into account.

    Those that it took from elsewhere itself may be older than the common events.
    """
    taken: int | None = revision.fetch_value(_TAKEN_LABELS.read_text())
    return sides.common if taken is None else min(sides.common, taken)


def make_plan(
    revision: Revision, event: CombinedEvent, combined: Combined, action: str, merge: MergeParents | None = None
) -> CombinedPlan:
    """Return the plan of an event whose rows are staged."""
    relations: dict[str, Any] = {name: rows for name, rows in combined.rows.items() if isinstance(rows, str)}
    return CombinedPlan(event, combined.rows, list_needed_files(revision, relations), action, merge)


def settle_conflict(conflict: Conflict, take: str) -> SettledConflict:
    """Return what the log records of a conflict for which a side was taken."""
    return SettledConflict(conflict.subject, conflict.object_id, conflict.column, take)


def read_digest(revision: Revision, location: Location) -> str:
    """Return the digest of the event at a location."""
    query = (
        "SELECT digest FROM log.chain JOIN log.event USING (event_key) WHERE branch = $branch AND position = $position"
    )
    return str(revision.fetch_value(query, location._asdict()))


def _require_resolved(revision: Revision, sides: MergeSides, name: str) -> None:
    """Raise if the other side has conflicts that are not resolved there."""
    if not revision.fetch_value(
        "SELECT 1 FROM duckdb_tables() WHERE database_name = 'log' AND table_name = 'merge_conflict'"
    ):
        return
    theirs = sides.their_side
    query = (
        "SELECT conflict FROM log.merge_conflict JOIN side_event USING (event_key) WHERE side = $side "
        "QUALIFY row_number() OVER (PARTITION BY conflict ORDER BY position DESC) = 1 AND change = 'added'"
    )
    if revision.fetch_rows(query, {"side": theirs}):
        branch = read_branch(revision.connection)
        raise ConflictError(
            f"{name} has conflicts of a merge that are not resolved. Switch to it, resolve them (geographer "
            f"resolve), and come back: geographer switch {branch}"
        )


def _read_last_number(revision: Revision) -> int:
    """Return the largest number of a conflict in the chain of the revision, and on the sides of the comparison."""
    query = "SELECT coalesce(max(TRY_CAST(conflict AS BIGINT)), 0) FROM chain_merge_conflict"
    numbers = [int(revision.fetch_value(query) or 0)]
    if revision.fetch_value(
        "SELECT 1 FROM duckdb_tables() WHERE database_name = 'log' AND table_name = 'merge_conflict'"
    ):
        numbers.append(int(revision.fetch_value(_LAST) or 0))
    return max(numbers)
