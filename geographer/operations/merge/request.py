"""The requests to merge a revision, to resolve conflicts, and to revert an event."""

from collections.abc import Iterable
from os import PathLike
from typing import Annotated, Any, ClassVar

from geographer.base.errors import UsageError
from geographer.base.parameters import Parameter
from geographer.operations.merge.events import BranchMerged, ConflictsResolved, EventReverted, OnConflict
from geographer.planning.shared_parameters import TEXT, list_values
from geographer.storage.queries.revision import Revision
from geographer.storage.request import Plan, PlanContext, Request


def _require_take(take: Any) -> str:
    if not isinstance(take, str | PathLike) or not str(take):
        raise UsageError("no value to take. Pass --take ours, theirs, base or a file.")
    return str(take)


def _name_revision(revision: Any) -> str:
    """Return how the log names a revision: a whole number is a position."""
    if isinstance(revision, int) and not isinstance(revision, bool):
        return f"@{revision}"
    if not isinstance(revision, str):
        raise UsageError(f"no revision {revision!r}. Pass a tag, a digest, a branch, or a position as a whole number.")
    return revision


class MergeRevision(Request, frozen=True):
    """Merge revision REV of another branch into the branch in use.

    Features, rasters, classes and recipes are compared with the last common revision, column by column: what one side
    changed is taken. What both changed differently is a conflict, which keeps our value until it is resolved; until
    then, the branch can be neither tagged nor pushed. Chips, labels and splits of both sides are joined; run
    geographer update for what they no longer fit. If REV is the published branch in use, such as origin/main, the
    merge follows it, so that published positions never change.
    """

    event: ClassVar[type[BranchMerged]] = BranchMerged
    example = "merge origin/main --on-conflict ours"

    revision: Annotated[
        str | int, Parameter("The revision to merge.", "REV", cli="argument", convert=_name_revision, schema=TEXT)
    ]
    on_conflict: Annotated[
        OnConflict,
        Parameter("What both sides changed differently: list it to be resolved, or take our value, or theirs."),
    ] = "list"
    onto: Annotated[
        str | None,
        Parameter(
            "The chain that the branch follows: the merged one, if it is the published branch.", cli="none", key=None
        ),
    ] = None

    def make_plan(self, revision: Revision, _context: PlanContext, /) -> Plan:
        """See `plan_merge`."""
        from geographer.operations.merge.merge import plan_merge

        return plan_merge(revision, str(self.revision), self.onto, self.on_conflict)


class ResolveConflicts(Request, frozen=True):
    """Resolve conflicts of a merge: keep our value, or take theirs, that of the last common revision, or a file's.

    A file is GeoJSON with one feature for a feature or its geometry, JSON for other values, and CSV with the columns
    raster_id and part for a split. Name the conflicts by the numbers that geographer conflicts lists, or pass --all.
    """

    event: ClassVar[type[ConflictsResolved]] = ConflictsResolved
    example = "resolve 1 2 --take theirs"

    ids: Annotated[
        Iterable[str],
        Parameter(
            "The numbers of the conflicts.",
            "ID",
            cli="arguments",
            kind="number of a conflict",
            convert=lambda ids: [*list_values(ids)],
            schema={"type": "array", "items": TEXT},
        ),
    ] = ()
    take: Annotated[
        str,
        Parameter(
            "The value to take; for a split also smallest, the proposal that geographer conflicts shows.",
            *("ours|theirs|base|FILE", "none; it is required"),
            convert=_require_take,
            schema=TEXT,
        ),
    ] = ""
    all_conflicts: Annotated[bool, Parameter("Resolve all conflicts.", flags="--all", key="all")] = False

    def make_plan(self, revision: Revision, _context: PlanContext, /) -> Plan:
        """See `plan_resolution`."""
        from geographer.operations.merge.resolve import plan_resolution

        return plan_resolution(revision, list(self.ids), self.take, is_all=self.all_conflicts)


class RevertEvent(Request, frozen=True):
    """Undo what the event REV changed, by a new event; what changed since elsewhere stays.

    If later events changed the same, nothing is recorded. The reverted event stays in the history, and reverting the
    new event restores what it changed.
    """

    event: ClassVar[type[EventReverted]] = EventReverted
    example = "revert HEAD~2"

    revision: Annotated[str | int, Parameter("The event.", "REV", cli="argument", convert=_name_revision, schema=TEXT)]

    def make_plan(self, revision: Revision, _context: PlanContext, /) -> Plan:
        """See `plan_revert`."""
        from geographer.operations.merge.revert import plan_revert

        return plan_revert(revision, self.revision)
